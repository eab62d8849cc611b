"""The worker's gRPC service: what any go-plugin host can use, and the way to the lane."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import secrets
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio
from typing_extensions import override

from snakepit import _lane, _wire, errors
from snakepit._call import Call, HostCall, Link, Request
from snakepit._carrier import StreamCarrier
from snakepit._codec import codec_of
from snakepit._limits import LaneError, Limits, limits_of
from snakepit._version import __version__
from snakepit.v1 import lane_pb2, worker_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from snakepit._adapter import Tool, Toolbox
    from snakepit._dispatch import Dispatcher

    Context = grpc.aio.ServicerContext[Any, Any]

STALE = "the lane's token isn't that of the last Attach"
# How long what is left to be written on a lane that has ended may take, in seconds.
_LAST_WORDS = 1.0


class Host:
    """The host that the worker is attached to, and the lane to it. There is one of either.

    It's changed on the plugin's loop; lanes end in any thread.
    """

    def __init__(self) -> None:
        self.name = ""
        self.incarnation = 0
        self.attached = False
        self.token = b""
        self.limits = Limits()
        self._lock = threading.Lock()
        # Guarded by the lock.
        self.lane: _lane.Lane | None = None

    def attach(self, request: worker_pb2.AttachRequest) -> bool:
        """Binds the worker to a host; the token for the lane is a new one each time.

        Returns:
            Whether it's another host than before, or the same one started anew. The one before
            has lost its lane then.

        Raises:
            FencedError: a later one has attached, or another one of the same incarnation.
        """
        if self.attached:
            self._fence(request)
        replaced = self.attached and request.incarnation > self.incarnation
        self.attached = True
        self.name, self.incarnation = request.host, request.incarnation
        self.token = secrets.token_bytes(16)
        self.limits = Limits(max_payload=request.settings.max_payload or Limits().max_payload)
        if replaced:
            self._end_lane()
        return replaced

    def _fence(self, request: worker_pb2.AttachRequest) -> None:
        if request.incarnation < self.incarnation:
            text = f"incarnation {request.incarnation} comes after {self.incarnation}"
            raise errors.FencedError(text)
        if request.incarnation == self.incarnation and request.host != self.name:
            text = f"incarnation {self.incarnation} is that of host {self.name[:64]!r}"
            raise errors.FencedError(text)

    def admits(self, hello: lane_pb2.Hello) -> bool:
        """Tells whether a lane may be opened with this hello."""
        return self.attached and secrets.compare_digest(hello.token, self.token)

    def adopt(self, lane: _lane.Lane, hello: lane_pb2.Hello) -> bool:
        """Closes the lane before, and makes this the one.

        Returns:
            False when its hello isn't good any more: another host has attached meanwhile.
        """
        if not self.admits(hello):
            return False
        self._end_lane()
        lane.on_close = self._forget
        with self._lock:
            self.lane = lane
        return True

    def _end_lane(self) -> None:
        lane = self.lane
        if lane is not None:
            lane.close()

    def _forget(self, lane: _lane.Lane) -> None:
        with self._lock:
            if self.lane is lane:
                self.lane = None


class WorkerService:
    """Serves snakepit.v1.Worker. All of it runs on the plugin's loop but settle and fail."""

    def __init__(self, host: Host) -> None:
        """Serves Describe once settle or fail was called; until then callers wait.

        Args:
            host: the host.
        """
        self.host = host
        self.lane_address = ""
        self.told = threading.Event()
        """Set when a caller was told that the adapter couldn't be set up."""
        self._settled = asyncio.Event()
        self._dispatcher: Dispatcher | None = None
        self._failure: errors.Error | None = None

    def settle(self, loop: asyncio.AbstractEventLoop, dispatcher: Dispatcher) -> None:
        """Says that the adapter is set up; from any thread."""
        self._dispatcher = dispatcher
        loop.call_soon_threadsafe(self._settled.set)

    def fail(self, loop: asyncio.AbstractEventLoop, failure: errors.Error) -> None:
        """Says that the adapter can't be set up; from any thread."""
        self._failure = failure
        loop.call_soon_threadsafe(self._settled.set)

    async def ready(self, context: Context) -> Dispatcher:
        """Waits for the adapter; ends the RPC when it can't be set up."""
        await self._settled.wait()
        if self._dispatcher is None:
            tell: Any = self._tell  # the stubs take no plain function
            context.add_done_callback(tell)
            await abort(context, self._failure or errors.InternalError())
        return self._dispatcher

    def _tell(self, _context: object) -> None:
        self.told.set()

    async def Describe(  # noqa: N802
        self, _request: worker_pb2.DescribeRequest, context: Context
    ) -> worker_pb2.DescribeResponse:
        """Tells what the worker offers."""
        dispatcher = await self.ready(context)
        return describe(dispatcher.toolbox, lane_address=self.lane_address)

    async def Attach(  # noqa: N802
        self, request: worker_pb2.AttachRequest, context: Context
    ) -> worker_pb2.AttachResponse:
        """Binds the worker to a host's incarnation."""
        dispatcher = await self.ready(context)
        try:
            if self.host.attach(request):
                dispatcher.reopen()
        except errors.FencedError as e:
            await abort(context, e)
        dispatcher.strict = request.settings.strict_results
        return worker_pb2.AttachResponse(lane_token=self.host.token, lane_address=self.lane_address)

    async def Call(  # noqa: N802
        self, request: worker_pb2.WorkerCallRequest, context: Context
    ) -> worker_pb2.WorkerCallResponse:
        """Runs a tool and returns its result."""
        dispatcher = await self.ready(context)
        link = _GrpcLink(self.host)
        call = dispatcher.open(await _request_of(request, context, stream=False), link)
        await _pass_on(link, call, dispatcher, context, None)
        return worker_pb2.WorkerCallResponse(payload=link.payload)

    async def Stream(self, request: worker_pb2.WorkerStreamRequest, context: Context) -> None:  # noqa: N802
        """Runs a tool and returns its chunks; of a tool that yields none, its result."""
        dispatcher = await self.ready(context)
        link = _GrpcLink(self.host)
        call = dispatcher.open(await _request_of(request, context, stream=True), link)

        async def write(chunk: bytes) -> None:
            await context.write(worker_pb2.WorkerStreamResponse(payload=chunk))

        await _pass_on(link, call, dispatcher, context, write)
        if link.payload:
            await write(link.payload)

    async def Drain(  # noqa: N802
        self, _request: worker_pb2.DrainRequest, context: Context
    ) -> worker_pb2.DrainResponse:
        """Takes no new calls and returns when the running ones have ended."""
        dispatcher = await self.ready(context)
        if self.host.lane is not None:
            self.host.lane.announce_drain()
        idle = asyncio.Event()
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(idle.set)

        dispatcher.drain(tell)
        await idle.wait()
        return worker_pb2.DrainResponse()

    async def Lane(self, requests: AsyncIterator[worker_pb2.LaneRequest], context: Context) -> None:  # noqa: N802
        """Carries frames: the portable carrier."""
        dispatcher = await self.ready(context)
        lane, carrier, rest = await self._open_lane(dispatcher, requests, context)
        reading = asyncio.create_task(_read_frames(lane, rest, requests))
        writing = asyncio.create_task(_write_frames(carrier, context))
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            lane.close()
            reading.cancel()
            if not writing.done():
                # A host that writes without reading would hold up our last words, and we its.
                reading = asyncio.create_task(_drop_frames(requests))
                await asyncio.wait((writing,), timeout=_LAST_WORDS)
        finally:
            lane.close()
            reading.cancel()
            writing.cancel()

    async def _open_lane(
        self,
        dispatcher: Dispatcher,
        requests: AsyncIterator[worker_pb2.LaneRequest],
        context: Context,
    ) -> tuple[_lane.Lane, StreamCarrier, list[lane_pb2.Frame]]:
        frames: list[lane_pb2.Frame] = []
        async for request in requests:
            frames = list(request.frames)
            break
        if not frames or not frames[0].HasField("hello"):
            await abort(context, errors.make("protocol", "a lane begins with a hello"))
        if not self.host.admits(frames[0].hello):
            await abort(context, errors.make("unauthenticated", STALE))
        try:
            theirs = limits_of(frames[0].hello)
        except LaneError as e:
            await abort(context, errors.make("version_mismatch", str(e)))
        ours = self.host.limits
        carrier = StreamCarrier(asyncio.get_running_loop())
        lane = carrier.lane = _lane.Lane(carrier, dispatcher, ours, theirs)
        hello = lane_pb2.Frame(hello=ours.hello())
        await context.write(worker_pb2.LaneResponse(frames=[hello]))
        if not self.host.adopt(lane, frames[0].hello):  # stale since it was looked at
            await abort(context, errors.make("unauthenticated", STALE))
        return lane, carrier, frames[1:]


async def _write_frames(carrier: StreamCarrier, context: Context) -> None:
    with contextlib.suppress(grpc.aio.BaseError):  # the host is gone
        while (batch := await carrier.next_message()) is not None:
            await context.write(worker_pb2.LaneResponse(frames=batch))


async def _drop_frames(requests: AsyncIterator[worker_pb2.LaneRequest]) -> None:
    with contextlib.suppress(grpc.aio.BaseError):
        async for _ in requests:
            pass


async def _read_frames(
    lane: _lane.Lane,
    rest: list[lane_pb2.Frame],
    requests: AsyncIterator[worker_pb2.LaneRequest],
) -> None:
    try:
        for frame in rest:
            lane.receive(frame)
        async for request in requests:
            for frame in request.frames:
                lane.receive(frame)
    except LaneError as e:
        complain(e)
    except grpc.aio.BaseError:
        pass  # the host is gone
    finally:
        lane.close()


def complain(e: Exception) -> None:
    """Says on standard error why a lane has ended."""
    sys.stderr.write(f"snakepit: the lane has ended: {e}\n")


def describe(toolbox: Toolbox, *, lane_address: str = "") -> worker_pb2.DescribeResponse:
    """Describes what a worker offers."""
    lanes = ("lane/local", "lane/grpc") if lane_address else ("lane/grpc",)
    return worker_pb2.DescribeResponse(
        adapter=toolbox.name,
        tools=[_tool(t) for t in toolbox.tools.values()],
        sdk_version=__version__,
        runtime_version=platform.python_version(),
        runtime=sys.implementation.name,
        slots=toolbox.slots,
        capabilities=[*lanes, *toolbox.capabilities],
        pid=os.getpid(),
    )


def _tool(t: Tool) -> worker_pb2.Tool:
    return worker_pb2.Tool(
        name=t.name,
        description=t.description,
        input_schema=t.signature.input_schema,
        output_schema=t.signature.output_schema,
        stream=t.signature.stream,
        input_stream=t.signature.input,
        idempotent=t.idempotent,
        cancel=t.cancel,
    )


async def abort(context: Context, e: errors.Error) -> NoReturn:
    """Ends an RPC with an error and its details."""
    code = getattr(grpc.StatusCode, _wire.status_code(e))
    text = _wire.cut(f"{e.reason}: {e.message}" if e.message else e.reason, 1024)
    number: int = code.value[0]
    details = (("grpc-status-details-bin", _wire.status_detail(e, number, text)),)
    await context.abort(code, text, trailing_metadata=details)


async def _request_of(
    request: worker_pb2.WorkerCallRequest | worker_pb2.WorkerStreamRequest,
    context: Context,
    *,
    stream: bool,
) -> Request:
    try:
        codec = codec_of(request.content_type)
    except errors.InvalidArgumentsError as e:
        await abort(context, e)
    left = _time_left(context)
    return Request(
        tool=request.tool,
        payload=request.payload,
        session=request.session,
        deadline=None if left is None else time.monotonic() + left,
        stream=stream,
        metadata=dict(request.metadata),
        codec=codec,
    )


def _time_left(context: Context) -> float | None:
    left: Any = context.time_remaining()  # None without a deadline, whatever the stubs say
    return left if left is None else float(left)


class _GrpcLink(Link):
    """The way back to a caller of Call or Stream."""

    def __init__(self, host: Host) -> None:
        self.call: Call | None = None
        self.payload = b""
        self.error: errors.Error | None = None
        self.over = False
        self.ended = False
        self.chunks: deque[bytes] = deque()
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    @property
    @override
    def max_payload(self) -> int:
        return self._host.limits.max_payload

    @override
    def writable(self) -> bool:
        return not self.chunks

    @override
    def send(self, payload: bytes) -> None:
        self.chunks.append(payload)
        self._ring()

    @override
    def readable(self) -> bool:
        return True

    @override
    def take(self) -> bytes | None:
        return None

    @override
    def progress(self, done: float, total: float, message: str) -> None:
        """There is no way to tell."""

    @override
    def end(self, payload: bytes, error: errors.Error | None) -> None:
        self.payload, self.error, self.ended = payload, error, True
        self._ring()

    @override
    def ask(self, tool: str, payload: bytes, deadline: float | None) -> HostCall:
        lane = self._host.lane
        if lane is None:
            text = "no host with tools is attached to this worker"
            raise errors.UnavailableError(text)
        return lane.ask(tool, payload, deadline, call=self.call)

    def _ring(self) -> None:
        self._loop.call_soon_threadsafe(self._news.set)

    async def news(self) -> None:
        """Waits for a chunk or the end."""
        await self._news.wait()
        self._news.clear()


async def _pass_on(
    link: _GrpcLink,
    call: Call | None,
    dispatcher: Dispatcher,
    context: Context,
    write: Callable[[bytes], Any] | None,
) -> None:
    """Passes chunks on until the call has ended; a caller that goes away stops it."""
    try:
        while not (link.ended and not link.chunks):
            await link.news()
            while link.chunks and write is not None:
                await write(link.chunks[0])
                link.chunks.popleft()
                if call is not None:
                    call.notify()
    except BaseException:
        link.over = True
        if call is not None:
            left = _time_left(context)
            dispatcher.stop(call, "deadline" if left is not None and left <= 0 else "cancelled")
        raise
    if link.error is not None:
        await abort(context, link.error)
