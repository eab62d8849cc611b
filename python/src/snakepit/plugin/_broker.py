"""go-plugin's broker: further gRPC connections between host and plugin, in either direction."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio
from typing_extensions import override

from snakepit.goplugin import broker_pb2, broker_pb2_grpc
from snakepit.plugin._errors import PluginError
from snakepit.plugin._listen import Address, Sockets

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine

    from snakepit.plugin._tls import Identity

    Stream = grpc.aio.ServicerContext[broker_pb2.ConnInfo, broker_pb2.ConnInfo]

T = TypeVar("T")

# How long go-plugin waits for the other side, and keeps what nobody has asked for, in seconds.
_RENDEZVOUS = 5.0

# How many of the host's listeners may wait to be dialled.
_MOST_WAITING = 1024

UNLIMITED = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Without this a second server may share a TCP port with the first, unnoticed.
    ("grpc.so_reuseport", 0),
)


class Broker:
    """Opens further connections between host and plugin, named by ids.

    One side makes up an id with next_id, tells it to the other in a call of its own, and accepts
    or dials; the other does the opposite within five seconds. The methods may be called from any
    thread and any event loop.
    """

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._ids = itertools.count(1)
        self._identity: Identity | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # All below live on the plugin's loop.
        self._servers: dict[int, tuple[grpc.aio.Server, Address]] = {}
        self._waiting: dict[int, asyncio.Future[broker_pb2.ConnInfo]] = {}
        self._streams: list[asyncio.Queue[broker_pb2.ConnInfo | None]] = []
        self._connected: asyncio.Event | None = None

    def next_id(self) -> int:
        """Returns an id that this side hasn't used yet."""
        return next(self._ids)

    async def accept(self, service_id: int, register: Callable[[grpc.aio.Server], object]) -> None:
        """Serves the host on a connection of its own.

        Args:
            service_id: the id that the host dials.
            register: adds the services to the server.

        Returns once the server listens and the host knows where; it then serves until ``end`` is
        called or the plugin ends.

        Raises:
            PluginError: the host opened no broker stream within five seconds, or the id is taken.
        """
        await self._here(self._accept(service_id, register))

    async def end(self, service_id: int) -> None:
        """Ends what accept began. An unknown id is no error."""
        await self._here(self._end(service_id))

    async def dial(self, service_id: int) -> grpc.aio.Channel:
        """Connects to a server of the host's own.

        Args:
            service_id: the id that the host accepts.

        Returns:
            A channel bound to the calling loop; close it after use.

        Raises:
            PluginError: the host didn't say within five seconds where it listens.
        """
        target, credentials = await self._here(self._find(service_id))
        if credentials is None:
            return grpc.aio.insecure_channel(target, options=_channel_options())
        return grpc.aio.secure_channel(target, credentials, options=_channel_options())

    def accept_sync(self, service_id: int, register: Callable[[grpc.aio.Server], object]) -> None:
        """Does what accept does, for code that runs on a thread; blocks."""
        self._there(self._accept(service_id, register))

    def end_sync(self, service_id: int) -> None:
        """Does what end does, for code that runs on a thread; blocks."""
        self._there(self._end(service_id))

    def dial_sync(self, service_id: int) -> grpc.Channel:
        """Does what dial does, for code that runs on a thread; blocks.

        Returns:
            A channel for calls that block; close it after use.
        """
        target, credentials = self._there(self._find(service_id))
        if credentials is None:
            return grpc.insecure_channel(target, options=_channel_options())
        return grpc.secure_channel(target, credentials, options=_channel_options())

    # What follows is the plugin's side; none of it is for users.

    def bind(self, loop: asyncio.AbstractEventLoop, identity: Identity | None) -> None:
        """Names the loop that the broker lives on; called on it."""
        self._loop = loop
        self._identity = identity
        self._connected = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many ids one side has named and the other hasn't met yet."""
        return len(self._waiting)

    async def stream(self, infos: AsyncIterator[Any]) -> AsyncGenerator[broker_pb2.ConnInfo, None]:
        """Runs one of the host's broker streams."""
        queue: asyncio.Queue[broker_pb2.ConnInfo | None] = asyncio.Queue()
        reader = asyncio.create_task(self._read(infos, queue))
        self._streams.append(queue)
        if self._connected is not None:
            self._connected.set()
        try:
            while (info := await queue.get()) is not None:
                yield info
        finally:
            self._streams.remove(queue)
            if not self._streams and self._connected is not None:
                self._connected.clear()
            reader.cancel()

    async def close(self) -> None:
        """Ends the streams and every brokered server."""
        for queue in self._streams:
            queue.put_nowait(None)
        for service_id in list(self._servers):
            await self._end(service_id)

    async def _accept(self, service_id: int, register: Callable[[grpc.aio.Server], object]) -> None:
        if service_id in self._servers:
            msg = f"broker: id {service_id} is being served already"
            raise PluginError(msg)
        queue = await self._stream()
        server = grpc.aio.server(options=UNLIMITED)
        register(server)
        identity = self._identity
        address = self._sockets.bind(server, identity.server_credentials() if identity else None)
        self._servers[service_id] = (server, address)
        await server.start()
        self._sockets.open_up(address)
        queue.put_nowait(
            broker_pb2.ConnInfo(
                service_id=service_id, network=address.network, address=address.address
            )
        )

    async def _end(self, service_id: int) -> None:
        server, address = self._servers.pop(service_id, (None, None))
        if server is not None and address is not None:
            await server.stop(None)
            self._sockets.forget(address)

    async def _stream(self) -> asyncio.Queue[broker_pb2.ConnInfo | None]:
        if self._connected is None:
            raise PluginError("broker: the plugin isn't running")
        try:
            async with asyncio.timeout(_RENDEZVOUS):
                await self._connected.wait()
        except TimeoutError:
            msg = f"broker: the host opened no broker stream within {_RENDEZVOUS:g} s"
            raise PluginError(msg) from None
        return self._streams[-1]  # the newest: a host that reattached has one of its own

    async def _find(self, service_id: int) -> tuple[str, grpc.ChannelCredentials | None]:
        future = self._expect(service_id)
        try:
            async with asyncio.timeout(_RENDEZVOUS):
                info = await asyncio.shield(future)
        except TimeoutError:
            msg = (
                f"broker: the host didn't say within {_RENDEZVOUS:g} s where it serves id "
                f"{service_id}: does it call AcceptAndServe({service_id}, …)?"
            )
            raise PluginError(msg) from None
        finally:
            self._waiting.pop(service_id, None)
        if info.network not in {"unix", "tcp"}:
            msg = f"broker: the host serves id {service_id} on network {info.network!r}"
            raise PluginError(msg)
        credentials = self._identity.channel_credentials() if self._identity else None
        return Address(info.network, info.address).target, credentials

    def _expect(self, service_id: int) -> asyncio.Future[broker_pb2.ConnInfo]:
        future = self._waiting.get(service_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._waiting[service_id] = future
        return future

    async def _read(
        self, infos: AsyncIterator[Any], queue: asyncio.Queue[broker_pb2.ConnInfo | None]
    ) -> None:
        with contextlib.suppress(grpc.RpcError, asyncio.CancelledError):
            async for info in infos:
                self._arrived(info)
        queue.put_nowait(None)

    def _arrived(self, info: broker_pb2.ConnInfo) -> None:
        if info.HasField("knock"):  # multiplexing only, which the handshake never offers
            return
        if info.service_id not in self._waiting and len(self._waiting) >= _MOST_WAITING:
            return
        future = self._expect(info.service_id)
        if not future.done():
            future.set_result(info)
            loop = asyncio.get_running_loop()
            loop.call_later(_RENDEZVOUS, self._forget, info.service_id, future)

    def _forget(self, service_id: int, future: asyncio.Future[broker_pb2.ConnInfo]) -> None:
        if self._waiting.get(service_id) is future:
            del self._waiting[service_id]

    async def _here(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._running(work)
        if asyncio.get_running_loop() is loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    def _there(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._running(work)
        with contextlib.suppress(RuntimeError):
            if asyncio.get_running_loop() is loop:
                work.close()
                raise PluginError("broker: await the other form of this method on the loop")
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def _running(self, work: Coroutine[Any, Any, T]) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            work.close()
            raise PluginError("broker: the plugin isn't running")
        return self._loop


def _channel_options() -> list[tuple[str, Any]]:
    # The host's certificate is for localhost, also on a Unix socket.
    return [*UNLIMITED[:2], ("grpc.ssl_target_name_override", "localhost")]


class BrokerServicer(broker_pb2_grpc.GRPCBrokerServicer):
    """GRPCBroker: the stream on which both sides say where they listen."""

    def __init__(self, broker: Broker, changed: Callable[[int], None]) -> None:
        """Serves a broker.

        Args:
            broker: what to serve.
            changed: is told +1 when a stream begins and -1 when it ends.
        """
        self._broker = broker
        self._changed = changed

    @override
    async def StartStream(
        self, request_iterator: AsyncIterator[broker_pb2.ConnInfo], context: Stream
    ) -> AsyncIterator[broker_pb2.ConnInfo]:
        self._changed(+1)
        try:
            async with contextlib.aclosing(self._broker.stream(request_iterator)) as infos:
                async for info in infos:
                    yield info
        finally:
            self._changed(-1)
