"""Server reflection that is imported when somebody asks for it, not at the start."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Version 1 has the same messages as v1alpha, and newer tools ask for it first.
_METHODS = frozenset(
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    for version in ("v1", "v1alpha")
)
_ALPHA = "grpc.reflection.v1alpha.ServerReflection"


class Reflection(grpc.GenericRpcHandler):
    """Answers what the server offers."""

    def __init__(self, names: Sequence[str]) -> None:
        """Prepares the answer.

        Args:
            names: the full names of the services; may grow until the first question.
        """
        self._names = names
        self._handler: grpc.RpcMethodHandler[Any, Any] | None = None

    @override
    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        if handler_call_details.method not in _METHODS:
            return None
        if self._handler is None:
            self._handler = self._make()
        return self._handler

    def _make(self) -> grpc.RpcMethodHandler[Any, Any]:
        alpha = "grpc_reflection.v1alpha"
        reflection: Any = import_module(f"{alpha}.reflection")
        messages: Any = import_module(f"{alpha}.reflection_pb2")
        servicer = reflection.aio.ReflectionServicer([*self._names, _ALPHA])
        return grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=messages.ServerReflectionRequest.FromString,
            response_serializer=messages.ServerReflectionResponse.SerializeToString,
        )


class NamingServer(grpc.aio.Server):
    """A server that notes the names of the services it is given."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.names: list[str] = []

    @override
    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        handlers = tuple(generic_rpc_handlers)
        for handler in handlers:
            if isinstance(handler, grpc.ServiceRpcHandler):
                self.names.append(handler.service_name())
        self._server.add_generic_rpc_handlers(handlers)

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        self._server.add_registered_method_handlers(service_name, method_handlers)

    @override
    def add_insecure_port(self, address: str) -> int:
        return self._server.add_insecure_port(address)

    @override
    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        return self._server.add_secure_port(address, server_credentials)

    @override
    async def start(self) -> None:
        await self._server.start()

    @override
    async def stop(self, grace: float | None) -> None:
        await self._server.stop(grace)

    @override
    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        return await self._server.wait_for_termination(timeout)
