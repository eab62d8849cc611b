"""One call on its way through a worker, whichever way it came."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from snakepit import _schema, _values, _wire, errors
from snakepit._codec import MSGPACK, Codec
from snakepit._context import Context, Input

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from snakepit._adapter import Tool
    from snakepit._interrupt import Token

_NOTHING: Final = nullcontext()


MAX_ID: Final = 256
MAX_METADATA: Final = 16
MAX_METADATA_BYTES: Final = 4 << 10


@dataclass(slots=True)
class Request:
    """What a caller asks for."""

    tool: str
    payload: bytes
    id: str = ""
    session: str = ""
    epoch: int = 0
    """Under which the host owns the session; 0: none."""
    away: bool = False
    """The worker isn't the session's home."""
    deadline: float | None = None
    """On the monotonic clock; None: never."""
    stream: bool = False
    """The caller takes chunks; else they're gathered into a list."""
    input: bool = False
    """The caller sends chunks."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    codec: Codec = MSGPACK

    def check(self) -> None:
        """Makes sure that what isn't the tool's is of a sensible size.

        Raises:
            InvalidArgumentsError: it isn't.
        """
        for what, given in (("id", self.id), ("session", self.session)):
            size = len(given.encode())
            if size > MAX_ID:
                text = f"a {what} of {size} bytes, where at most {MAX_ID} are allowed"
                raise errors.InvalidArgumentsError(text)
        size = sum(len(k.encode()) + len(v.encode()) for k, v in self.metadata.items())
        if len(self.metadata) > MAX_METADATA or size > MAX_METADATA_BYTES:
            text = (
                f"metadata of {len(self.metadata)} entries and {size} bytes, where at most "
                f"{MAX_METADATA} and {MAX_METADATA_BYTES} are allowed"
            )
            raise errors.InvalidArgumentsError(text)


@dataclass(slots=True)
class Encoded:
    """A result that is encoded already."""

    data: bytes


class Stage(Protocol):
    """The main thread, which has more to do while a tool waits than to wait."""

    def here(self) -> bool:
        """Tells whether this is the main thread."""
        ...

    def wait(self, ready: Callable[[], bool]) -> None:
        """Waits until ready, which news of a call make worth asking."""
        ...

    def wake(self) -> None:
        """Has ready asked again; from any thread."""
        ...


class HostCall(Protocol):
    """A call to a host tool."""

    @property
    def done(self) -> bool:
        """Whether there is a result, or an error."""
        ...

    def result(self) -> bytes:
        """Gives the result of a call that is done.

        Raises:
            Error: what it failed with.
        """
        ...

    def abandon(self) -> None:
        """Cancels the call; nobody waits for it any more."""
        ...


class Link(Protocol):
    """The way back to a call's caller. Its methods never block; any thread may call them."""

    call: Call | None
    """Set before the call begins."""
    over: bool
    """Nobody waits for the call's end any more: it mustn't begin."""

    @property
    def max_payload(self) -> int:
        """The largest message that the caller takes, in bytes."""
        ...

    def writable(self) -> bool:
        """Tells whether the caller has room for a chunk."""
        ...

    def send(self, payload: bytes) -> None:
        """Sends a chunk."""
        ...

    def readable(self) -> bool:
        """Tells whether a chunk waits to be taken, or none will come any more."""
        ...

    def take(self) -> bytes | None:
        """Takes the caller's next chunk, once it's readable; None when none will come any more."""
        ...

    def progress(self, done: float, total: float, message: str) -> None:
        """Tells the caller how far the call has come."""
        ...

    def end(self, payload: bytes, error: errors.Error | None) -> None:
        """Ends the call; the last thing that is called."""
        ...

    def ask(self, tool: str, payload: bytes, deadline: float | None) -> HostCall:
        """Opens a call to a host tool, whose news come as call.notify().

        Raises:
            Error: there is no host, or it takes no calls.
        """
        ...


class Call:
    """A call, its tool, and the way back to its caller. It's the port of the tool's Context."""

    def __init__(self, request: Request, tool: Tool, link: Link, *, strict: bool) -> None:
        """Makes a call that hasn't begun.

        Args:
            request: what the caller asks for.
            tool: what to run.
            link: the way back.
            strict: results that can't be encoded are errors.
        """
        self.request = request
        self.tool = tool
        self.link = link
        self.strict = strict
        self.reason: str | None = None
        """Why the call is to stop; None while it isn't."""
        self.started = 0.0
        """When the tool began, on the monotonic clock; 0 before."""
        self.ended = False
        self.token: Token | None = None
        self.interrupt: Callable[[str], None] | None = None
        """Stops the tool from outside; None where that isn't possible, or not wanted."""
        self.stage: Stage | None = None
        self._pid = os.getpid()
        self._asked: set[HostCall] = set()
        self._watchers: list[Callable[[], None]] = []
        self._gathered = 0
        self._chunks_in = 0

    # What the outside does.

    def stop(self, reason: str) -> None:
        """Asks the tool to stop; from any thread, any number of times."""
        if self.reason is not None or self.ended:
            return
        self.reason = reason
        interrupt = self.interrupt
        if interrupt is not None:
            interrupt(reason)
        self.notify()

    def notify(self) -> None:
        """Says that something has changed: room, a chunk, an answer, or the wish to stop."""
        for watcher in tuple(self._watchers):
            watcher()

    def in_child(self) -> bool:
        """Tells a forked child, which mustn't use its parent's connections, locks and pipes."""
        return os.getpid() != self._pid

    def _refuse_child(self) -> None:
        if self.in_child():
            raise RuntimeError("a forked child of a worker can't reach the host: do it in the tool")

    # What runs the tool.

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Decodes and checks the arguments, and adds what the SDK gives.

        Raises:
            InvalidArgumentsError: they don't fit the tool.
        """
        request, signature = self.request, self.tool.signature
        given: Any = request.codec.decode(request.payload) if request.payload else {}
        positional, named = signature.bind(given)
        if signature.input:
            named[signature.input] = Input[Any](self)
        return positional, named

    def context(self) -> Context:
        """Makes the tool's context."""
        r = self.request
        return Context(
            self,
            tool=self.tool.name,
            call_id=r.id,
            session=r.session,
            epoch=r.epoch,
            home=not r.away,
            deadline=r.deadline,
            metadata=r.metadata,
        )

    def deliver(self, chunk: object, gathered: list[bytes] | None) -> None:
        """Hands one chunk over, and waits while the caller doesn't read."""
        self._refuse_child()
        with self._shield():
            data = self._encode_chunk(chunk, gathered)
            if data is not None:
                self._wait(self.link.writable)
                self.link.send(data)

    async def deliver_later(self, chunk: object, gathered: list[bytes] | None) -> None:
        """The same on an event loop."""
        self._refuse_child()
        data = self._encode_chunk(chunk, gathered)
        if data is not None:
            await self._wait_later(self.link.writable)
            self.link.send(data)

    def _encode_chunk(self, chunk: object, gathered: list[bytes] | None) -> bytes | None:
        data = self.request.codec.encode(chunk, strict=self.strict)
        if gathered is None:
            self._fit(data)
            return data
        gathered.append(data)
        self._gathered += len(data) + 8
        if self._gathered > self.link.max_payload:
            raise _too_large("the list of chunks", self._gathered, self.link.max_payload)
        self._raise_if_stopped()
        return None

    def _fit(self, data: bytes) -> None:
        if len(data) > self.link.max_payload:
            raise _too_large("a message", len(data), self.link.max_payload)

    def end(self, value: Any, failure: BaseException | None) -> None:
        """Sends what came out of the tool: Encoded as it stands, any other value encoded."""
        payload = b""
        if failure is None:
            try:
                payload = (
                    value.data
                    if isinstance(value, Encoded)
                    else self.request.codec.encode(value, strict=self.strict)
                )
                self._fit(payload)
            except Exception as e:  # noqa: BLE001  the result's own methods may raise
                payload, failure = b"", e
        self.ended = True
        for asked in tuple(self._asked):  # by threads that the tool has left behind
            asked.abandon()
        self.link.end(payload, None if failure is None else self._error(failure))

    def _error(self, failure: BaseException) -> errors.Error:
        if self.reason is not None or isinstance(failure, errors.Cancelled):
            reason = self.reason or "cancelled"
            return stopped(reason, self.tool.name, self.request.id, ran=self.started > 0)
        error = _wire.as_error(failure, tool=self.tool.name, call=self.request.id)
        if not self.started:
            error.may_have_run = False
        return error

    # What the tool's context asks for.

    def report(self, done: float, total: float, message: str) -> None:
        """Tells the caller how far the call has come."""
        self._refuse_child()
        if self.ended or self.reason is not None:
            return
        with self._shield():
            self.link.progress(done, total, message)

    def ask(self, tool: str, arguments: Mapping[str, object]) -> Any:
        """Calls a host tool and waits in this thread."""
        self._refuse_child()
        with self._shield():
            asked = self._open(tool, arguments)
            try:
                self._wait(lambda: asked.done)
            finally:
                self._close(asked)
            return _values.decode(asked.result())

    async def ask_later(self, tool: str, arguments: Mapping[str, object]) -> Any:
        """Calls a host tool."""
        self._refuse_child()
        asked = self._open(tool, arguments)
        try:
            await self._wait_later(lambda: asked.done)
        finally:
            self._close(asked)
        return _values.decode(asked.result())

    def _open(self, tool: str, arguments: Mapping[str, object]) -> HostCall:
        if self.ended:
            raise errors.CallCancelledError("the call has ended, and its context with it")
        self._raise_if_stopped()
        payload = _values.encode(dict(arguments), strict=True)
        asked = self.link.ask(tool, payload, self.request.deadline)
        self._asked.add(asked)
        return asked

    def _close(self, asked: HostCall) -> None:
        self._asked.discard(asked)
        if not asked.done:
            asked.abandon()

    def in_loop(self) -> bool:
        """Tells whether this thread runs an event loop, which waiting would block."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    def next_input(self) -> Any:
        """Waits for the caller's next chunk."""
        if self.in_loop():
            raise RuntimeError("for would block the event loop: use async for")
        self._refuse_child()
        with self._shield():
            self._wait(self.link.readable)
            data = self.link.take()
            if data is None:
                raise StopIteration
            return self._checked_input(data)

    async def next_input_later(self) -> Any:
        """Waits for the caller's next chunk."""
        self._refuse_child()
        await self._wait_later(self.link.readable)
        data = self.link.take()
        if data is None:
            raise StopAsyncIteration
        return self._checked_input(data)

    def _checked_input(self, data: bytes) -> Any:
        signature = self.tool.signature
        path = f"$.{signature.input}[{self._chunks_in}]"
        self._chunks_in += 1
        try:
            value = self.request.codec.decode(data)
        except errors.InvalidArgumentsError as e:
            raise errors.InvalidArgumentsError(e.message, path=path) from None
        return _schema.check(value, signature.item, path)

    # Waiting. The tool's interrupt is masked meanwhile: the wish to stop is among the news.

    def _shield(self) -> AbstractContextManager[object]:
        return self.token or _NOTHING

    def _wait(self, ready: Callable[[], bool]) -> None:
        if not ready() and self.reason is None:
            self._block(lambda: ready() or self.reason is not None)
        self._raise_if_stopped()

    def _block(self, ready: Callable[[], bool]) -> None:
        if self.stage is not None and self.stage.here():
            self._watchers.append(self.stage.wake)
            try:
                self.stage.wait(ready)
            finally:
                self._watchers.remove(self.stage.wake)
            return
        news = threading.Event()
        self._watchers.append(news.set)
        try:
            while not ready():
                news.wait()
                news.clear()
        finally:
            self._watchers.remove(news.set)

    async def _wait_later(self, ready: Callable[[], bool]) -> None:
        if not ready() and self.reason is None:
            news = asyncio.Event()
            loop = asyncio.get_running_loop()

            def wake() -> None:
                loop.call_soon_threadsafe(news.set)

            self._watchers.append(wake)
            try:
                while not ready() and self.reason is None:
                    await news.wait()
                    news.clear()
            finally:
                self._watchers.remove(wake)
        self._raise_if_stopped()

    def _raise_if_stopped(self) -> None:
        if self.reason is not None:
            raise errors.Cancelled(self.reason)


def stopped(reason: str, tool: str, call: str, *, ran: bool) -> errors.Error:
    """Makes the error of a call that was stopped."""
    known = reason if reason in errors.REASONS else "cancelled"
    message = {
        "deadline": "the worker stopped the tool at the call's deadline"
        if ran
        else "the call's deadline passed while it waited in its worker",
        "cancelled": "the call was cancelled",
    }.get(known, "the call was stopped")
    e = errors.make(known, message)
    e.where = errors.Where(tool=tool, call=call)
    e.may_have_run = ran
    return e


def _too_large(what: str, size: int, most: int) -> errors.PayloadTooLargeError:
    return errors.PayloadTooLargeError(
        f"{what} has {size} bytes, and the caller takes {most}",
        hint="yield it in chunks, or raise max_payload",
    )
