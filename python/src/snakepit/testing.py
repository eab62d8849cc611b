"""Calls tools without a host, in tests.

::

    from snakepit.testing import Harness


    def test_predict() -> None:
        with Harness(Digits) as digits:
            assert digits.call("predict", pixels=[0.0] * 64) == 0

With a session, its state is kept in memory and the adapter's hooks are called as a host does it. A
second harness can take a session over, as another worker does when the first one has died::

    with Harness(Chat, session="ann") as first, Harness(Chat, session="ann") as second:
        first.call("say", text="hello")
        second.take_over(first)
        assert second.call("history") == ["hello"]

Arguments and results go through the same checks, and the same encoding and decoding, as on their
way to a worker and back; what fails raises what a caller gets.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

from snakepit import _adapter, _hooks, _values, _wire, errors
from snakepit._call import Call, HostCall, Link, Request
from snakepit._dispatch import Dispatcher, PoolRunner
from snakepit._session import GET, SET
from snakepit._sessions import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

__all__ = ["Harness", "Progress", "RunningCall"]

_MAX_PAYLOAD = 256 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """What a tool has reported by ``ctx.progress``."""

    tool: str
    done: float
    total: float
    message: str


class Harness:
    """An adapter with its tools, and no host.

    ``def`` tools run on threads of their own, also where a worker with one slot would run them on
    the main thread.
    """

    def __init__(
        self,
        adapter: object,
        *,
        session: str | None = None,
        strict: bool = False,
        timeout: float = 60.0,
    ) -> None:
        """Makes the adapter and sets it up.

        Args:
            adapter: its class, an instance of it, a module with tools, or one tool.
            session: the session that calls belong to.
            strict: results that can't be encoded are errors, as with strict_results.
            timeout: how many seconds each call may take.

        Raises:
            DefinitionError: it has no tools, or one that can't be a tool.
        """
        self._toolbox = _adapter.collect(adapter)
        pool = PoolRunner(self._toolbox.slots)
        self._dispatcher = pool.dispatcher = Dispatcher(self._toolbox, pool, strict=strict)
        self._host_tools: dict[str, Callable[..., object]] = {}
        self._calls = 0
        self._closed = False
        self.session = session
        """The session that calls belong to; None: none. It may be changed between calls."""
        self.home = True
        """Whether this worker is its home, as calls see it; no hook is called where it isn't."""
        self.epoch: int | None = None
        """What calls have as their session's epoch; None: the one that it has, from 1."""
        self._sessions: dict[str, _Held] = {}
        self.timeout = timeout
        """How many seconds each call may take."""
        self.progress: list[Progress] = []
        """What tools have reported, oldest first."""
        self._toolbox.setup()

    @property
    def adapter(self) -> Any:
        """The adapter's instance; None for a module's tools."""
        return self._toolbox.adapter

    @property
    def tools(self) -> list[str]:
        """The names of its tools, sorted."""
        return list(self._toolbox.tools)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops running calls and closes the adapter."""
        if self._closed:
            return
        self._closed = True
        self._dispatcher.stop_all("cancelled")
        self._dispatcher.close()
        self._toolbox.close()

    def host_tool(self, name: str, function: Callable[..., object]) -> None:
        """Offers a function to tools, as ``ctx.host.NAME`` and ``ctx.call("NAME", …)``.

        Args:
            name: its name.
            function: called with the arguments, on a thread of its own. What it raises reaches the
                tool as ToolFailedError, or as it is when it's one of snakepit.errors.
        """
        self._host_tools[name] = function

    # Sessions. Without a name each is about the harness's own.

    def state(self, session: str | None = None) -> dict[str, Any]:
        """Gives a session's state."""
        return self._held(session).record.decoded()

    def set_state(self, values: Mapping[str, Any], session: str | None = None) -> None:
        """Sets a session's whole state, as if somebody had written it before."""
        self._held(session).record.replace(values)

    def open_session(self, session: str | None = None) -> None:
        """Makes this worker a new session's home. Its first call does so by itself."""
        name = self._name(session)
        held = self._held(name)
        held.begun = True
        try:
            self._run_hook(_hooks.OPEN, name, {})
        except BaseException:
            held.begun = False
            raise

    def restore_session(self, saved: bytes | None = None, session: str | None = None) -> None:
        """Makes this worker the home of a session that had another one, with a new epoch.

        Args:
            saved: what on_session_save gave there; None: nothing.
            session: its name.
        """
        name = self._name(session)
        held = self._held(name)
        held.record.epoch += 1
        held.epoch, held.begun = held.record.epoch, True
        state = {k: data for k, (data, _) in held.record.values.items()}
        self._run_hook(_hooks.RESTORE, name, {"state": state, "saved": saved})

    def save_session(self, session: str | None = None) -> bytes | None:
        """Gives what the adapter wants a session to have where it moves to."""
        saved: bytes | None = self._run_hook(_hooks.SAVE, self._name(session), {})
        return saved

    def close_session(self, session: str | None = None, *, moved: bool = False) -> None:
        """Tells the adapter that a session has ended here, and drops what was kept of it.

        Args:
            session: its name.
            moved: it goes on elsewhere, and keeps its state.
        """
        name = self._name(session)
        self._run_hook(_hooks.CLOSE, name, {"moved": moved})
        if not moved:
            self._sessions.pop(name, None)

    def take_over(
        self, other: Harness, session: str | None = None, *, planned: bool = False
    ) -> None:
        """Makes this worker the home of a session of another one's, with its state.

        The other one's calls of the session can't write its state any more: they're fenced.

        Args:
            other: where the session was.
            session: its name.
            planned: it moves, and is saved before; else the other one has died, as far as anybody
                knows.
        """
        name = self._name(session)
        saved = other.save_session(name) if planned else None
        record = other._held(name).record
        if planned:
            other.close_session(name, moved=True)
        self._sessions[name] = _Held(record, record.epoch)
        self.restore_session(saved, name)

    def _name(self, session: str | None) -> str:
        name = session if session is not None else self.session
        if not name:
            raise ValueError("the harness has no session: name one")
        return name

    def _held(self, session: str | None) -> _Held:
        name = self._name(session)
        return self._sessions.setdefault(name, _Held(Record(), 1))

    def _run_hook(self, hook: _hooks.Hook, session: str, arguments: dict[str, object]) -> Any:
        if hook.tool not in self._toolbox.hooks:
            return None
        return self._open(self._request(hook.tool, arguments, session), ()).result()

    def call(self, tool: str, /, **arguments: object) -> Any:
        """Calls a tool and gives its result; of one that yields, a list.

        Args:
            tool: its name.
            arguments: its arguments. For the parameter that takes a stream, an iterable.

        Raises:
            Error: what a caller would get. ToolFailedError has the tool's exception as its cause.
        """
        return self.start(tool, **arguments).result()

    def stream(self, tool: str, /, **arguments: object) -> Iterator[Any]:
        """Calls a tool and gives its chunks as they come; leaving the loop cancels it.

        Args:
            tool: its name.
            arguments: as for call.

        Raises:
            Error: as for call.
        """
        running = self._begin(tool, arguments, stream=True)
        try:
            yield from running
        finally:
            running.cancel()

    def start(self, tool: str, /, **arguments: object) -> RunningCall:
        """Calls a tool without waiting for it.

        Args:
            tool: its name.
            arguments: as for call.
        """
        return self._begin(tool, arguments, stream=False)

    def _begin(self, tool: str, arguments: dict[str, object], *, stream: bool) -> RunningCall:
        found = self._toolbox.tools.get(tool)
        name = found.signature.input if found is not None else ""
        chunks: Any = arguments.pop(name, ()) if name else ()
        session = self.session or ""
        if session and self.home and not self._held(session).begun:
            self.open_session(session)
        request = self._request(tool, arguments, session)
        request.stream, request.input = stream, bool(name)
        return self._open(request, chunks)

    def _request(self, tool: str, arguments: dict[str, object], session: str) -> Request:
        self._calls += 1
        request = Request(
            tool=tool,
            payload=_values.encode(arguments, strict=True),
            id=f"call-{self._calls}",
            session=session,
            deadline=time.monotonic() + self.timeout,
        )
        if session:
            request.epoch = self._held(session).epoch if self.epoch is None else self.epoch
            request.away = not self.home
        return request

    def _open(self, request: Request, chunks: Iterable[object]) -> RunningCall:
        link = _HarnessLink(request.tool, chunks, self._host_tools, self.progress)
        if request.session:
            link.state = _state_tools(self._held(request.session).record, request.epoch)
        call = self._dispatcher.open(request, link)
        return RunningCall(link, call, self._dispatcher)


@dataclass(slots=True)
class _Held:
    """A session as one worker has it."""

    record: Record
    epoch: int
    """The record's, when the worker got it."""
    begun: bool = False
    """It was opened or restored here."""


def _state_tools(record: Record, epoch: int) -> dict[str, Callable[..., object]]:
    def change(changes: list[dict[str, Any]]) -> int:
        return record.change(epoch, changes)

    return {GET: record.read, SET: change}


class RunningCall:
    """A call that was started. Iterating gives its chunks."""

    def __init__(self, link: _HarnessLink, call: Call | None, dispatcher: Dispatcher) -> None:
        """Made by Harness.start."""
        self._link = link
        self._call = call
        self._dispatcher = dispatcher

    def cancel(self) -> None:
        """Stops the tool, as its caller would; does nothing once it has ended."""
        if self._call is not None:
            self._dispatcher.stop(self._call, "cancelled")

    def result(self) -> Any:
        """Waits for the end and gives the result.

        Raises:
            Error: what it failed with.
        """
        self._wait(lambda: self._link.ended)
        return self._value()

    def __iter__(self) -> Iterator[Any]:
        link = self._link
        while True:
            self._wait(lambda: link.ended or bool(link.chunks))
            if not link.chunks:
                break
            yield _values.decode(link.chunks.popleft())
            if self._call is not None:
                self._call.notify()
        result = self._value()
        if link.payload:  # of a tool that yields nothing
            yield result

    def _value(self) -> Any:
        link = self._link
        if link.error is not None:
            # As it arrives on the other side, with the exception itself for the debugger.
            raise _wire.from_proto(_wire.to_proto(link.error)) from link.error.__cause__
        return _values.decode(link.payload) if link.payload else None

    def _wait(self, ready: Callable[[], bool]) -> None:
        while not ready():
            now = time.monotonic()
            left = self._dispatcher.expire(now)
            with self._link.news:
                self._link.news.wait_for(ready, left)


class _HarnessLink(Link):
    """The way back to the test."""

    def __init__(
        self,
        tool: str,
        chunks: Iterable[object],
        host_tools: dict[str, Callable[..., object]],
        progress: list[Progress],
    ) -> None:
        self.call: Call | None = None
        self.news = threading.Condition()
        self.chunks: deque[bytes] = deque()
        self.payload = b""
        self.error: errors.Error | None = None
        self.over = False
        self.ended = False
        self.state: dict[str, Callable[..., object]] = {}
        """The host's tools for the session's state."""
        self._tool = tool
        self._input = iter(chunks)
        self._host_tools = host_tools
        self._progress = progress

    @property
    @override
    def max_payload(self) -> int:
        return _MAX_PAYLOAD

    @override
    def writable(self) -> bool:
        return not self.chunks

    @override
    def send(self, payload: bytes) -> None:
        with self.news:
            self.chunks.append(payload)
            self.news.notify_all()

    @override
    def readable(self) -> bool:
        return True

    @override
    def take(self) -> bytes | None:
        for chunk in self._input:
            return _values.encode(chunk, strict=True)
        return None

    @override
    def progress(self, done: float, total: float, message: str) -> None:
        self._progress.append(Progress(self._tool, done, total, _wire.cut(message, 256)))

    @override
    def end(self, payload: bytes, error: errors.Error | None) -> None:
        with self.news:
            self.payload, self.error, self.ended = payload, error, True
            self.news.notify_all()

    @override
    def ask(self, tool: str, payload: bytes, deadline: float | None) -> HostCall:
        asked = _Asked(self._function(tool), payload, self.call)
        threading.Thread(target=asked.run, name=f"host-{tool}", daemon=True).start()
        return asked

    def _function(self, tool: str) -> Callable[..., object]:
        if tool == "snakepit.tools":
            return self._list_tools
        function = self._host_tools.get(tool) or self.state.get(tool)
        if function is None:
            text = f"the host has no tool {tool!r}; give it one by Harness.host_tool"
            raise errors.ToolNotFoundError(text)
        return function

    def _list_tools(self) -> list[dict[str, str]]:
        return [
            {"name": name, "description": (function.__doc__ or "").strip(), "input_schema": ""}
            for name, function in sorted(self._host_tools.items())
        ]


class _Asked:
    """A call to a host tool."""

    def __init__(self, function: Callable[..., object], payload: bytes, call: Call | None) -> None:
        self.done = False
        self._function = function
        self._payload = payload
        self._call = call
        self._result = b""
        self._error: errors.Error | None = None

    def run(self) -> None:
        """Runs the function."""
        try:
            arguments: dict[str, object] = _values.decode(self._payload)
            self._result = _values.encode(self._function(**arguments), strict=True)
        except BaseException as e:  # noqa: BLE001  the test's own function
            self._error = _wire.as_error(e)
        self.done = True
        if self._call is not None:
            self._call.notify()

    def result(self) -> bytes:
        """Gives the result."""
        if self._error is not None:
            raise self._error
        return self._result

    def abandon(self) -> None:
        """Lets the function run to its end; nobody waits for it."""
