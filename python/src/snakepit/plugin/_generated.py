"""Types for generated and unannotated code of gRPC's: the one place where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from snakepit.goplugin import broker_pb2_grpc, controller_pb2_grpc, stdio_pb2_grpc

if TYPE_CHECKING:
    import grpc.aio


class _Add(Protocol):
    def __call__(self, servicer: object, server: grpc.aio.Server) -> None: ...


def _adder(module: Any, name: str) -> _Add:
    add: _Add = getattr(module, f"add_{name}Servicer_to_server")
    return add


_health: Any = import_module("grpc_health.v1.health")
_health_pb2: Any = import_module("grpc_health.v1.health_pb2")

add_health = _adder(import_module("grpc_health.v1.health_pb2_grpc"), "Health")
add_broker = _adder(broker_pb2_grpc, "GRPCBroker")
add_controller = _adder(controller_pb2_grpc, "GRPCController")
add_stdio = _adder(stdio_pb2_grpc, "GRPCStdio")


async def healthy(name: str) -> object:
    """Makes a health service on which the server as a whole and one name are serving."""
    servicer = _health.aio.HealthServicer()
    for served in ("", name):
        await servicer.set(served, _health_pb2.HealthCheckResponse.SERVING)
    made: object = servicer
    return made
