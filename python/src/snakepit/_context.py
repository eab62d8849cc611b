"""What a running tool can see and do of its call."""

from __future__ import annotations

import contextvars
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from snakepit import _log, errors
from snakepit._session import Session

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

T_co = TypeVar("T_co", covariant=True)


class Port(Protocol):
    """What a context asks of whoever runs its call."""

    @property
    def reason(self) -> str | None:
        """Why the call is to stop; None while it isn't."""
        ...

    def report(self, done: float, total: float, message: str) -> None:
        """Tells the caller how far the call has come."""
        ...

    def ask(self, tool: str, arguments: Mapping[str, object]) -> Any:
        """Calls a host tool and waits in this thread."""
        ...

    def ask_later(self, tool: str, arguments: Mapping[str, object]) -> Awaitable[Any]:
        """Calls a host tool."""
        ...

    def in_loop(self) -> bool:
        """Tells whether this thread runs an event loop, which waiting would block."""
        ...

    def next_input(self) -> Any:
        """Waits for the caller's next chunk.

        Raises:
            StopIteration: there are no more.
        """
        ...

    def next_input_later(self) -> Awaitable[Any]:
        """Waits for the caller's next chunk.

        Raises:
            StopAsyncIteration: there are no more.
        """
        ...


@dataclass(frozen=True, slots=True)
class HostTool:
    """A tool that the host offers to tools."""

    name: str
    description: str
    input_schema: str
    """JSON Schema of its arguments; empty when unknown."""


class Host:
    """The host's tools as methods: ``ctx.host.validate(order=…)``.

    In a ``def`` tool that waits and gives the result. In an ``async def`` tool it gives something
    to await. Tools whose names are no Python names are called by ``ctx.call`` and ``ctx.acall``.
    """

    __slots__ = ("_port",)

    def __init__(self, port: Port) -> None:
        self._port = port

    def tools(self) -> Any:
        """Gives the host's tools, by name, as HostTools; in an ``async def`` tool, await it."""
        if self._port.in_loop():
            return self._tools_later()
        return _tools(self._port.ask("snakepit.tools", {}))

    async def _tools_later(self) -> dict[str, HostTool]:
        return _tools(await self._port.ask_later("snakepit.tools", {}))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        port = self._port

        def call(**arguments: object) -> Any:
            if port.in_loop():
                return port.ask_later(name, arguments)
            return port.ask(name, arguments)

        call.__name__ = name
        return call


def _tools(listed: list[dict[str, str]]) -> dict[str, HostTool]:
    return {
        t["name"]: HostTool(t["name"], t.get("description", ""), t.get("input_schema", ""))
        for t in listed
    }


class Context:
    """The call that a tool runs for.

    A tool gets it as the parameter that has this class as its hint; deeper inside, ``current()``
    gives it. It's valid until the tool has ended.
    """

    def __init__(
        self,
        port: Port,
        *,
        tool: str,
        call_id: str = "",
        session: str = "",
        epoch: int = 0,
        home: bool = True,
        deadline: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Made by the SDK."""
        self._port = port
        self.tool = tool
        """The tool's name."""
        self.call_id = call_id
        """The call's id, as in the host's logs; may be empty."""
        self.session = Session(port, session, home=home, epoch=epoch) if session else None
        """The caller's session; None when the call belongs to none."""
        self.deadline = deadline
        """When the call's time is over, on ``time.monotonic()``'s clock; None: never."""
        self.metadata: Mapping[str, str] = metadata if metadata is not None else {}
        """Trace context and the like, from the caller."""
        self.host = Host(port)
        """The host's tools as methods."""

    @property
    def fencing_token(self) -> int:
        """The session's epoch in its cluster; 0 without a session, or outside of a cluster.

        Storage that refuses a lower token than one it has seen isn't written by a worker whose
        session has gone to another node.
        """
        return self.session.epoch if self.session is not None else 0

    @property
    def remaining(self) -> float | None:
        """The seconds left until the deadline, at least 0; None when there is none."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        """Whether the tool is to stop: its caller gave up, or its time is over."""
        return self._port.reason is not None

    def check(self) -> None:
        """Stops the tool here if it is to stop.

        Raises:
            Cancelled: the caller gave up, or the time is over.
        """
        reason = self._port.reason
        if reason is not None:
            raise errors.Cancelled(reason)

    def progress(self, done: float, total: float = 0.0, message: str = "") -> None:
        """Tells the caller how far the call has come. It never waits; reports may be skipped.

        Args:
            done: how much is done, in the tool's own unit.
            total: how much there is; 0 when that isn't known.
            message: a few words, at most 256 bytes.
        """
        self._port.report(float(done), float(total), message)

    def call(self, tool: str, /, **arguments: object) -> Any:
        """Calls a host tool and waits for its result. It ends with this call at the latest.

        Args:
            tool: its name.
            arguments: its arguments.

        Raises:
            Error: what it failed with.
            RuntimeError: it would block this thread's event loop; use ``await ctx.acall(…)``.
        """
        if self._port.in_loop():
            raise RuntimeError("ctx.call would block the event loop: use await ctx.acall(…)")
        return self._port.ask(tool, arguments)

    async def acall(self, tool: str, /, **arguments: object) -> Any:
        """Calls a host tool from an ``async def`` tool.

        Args:
            tool: its name.
            arguments: its arguments.

        Raises:
            Error: what it failed with.
        """
        return await self._port.ask_later(tool, arguments)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Logs with the call's id, tool and session."""
        session = self.session.id if self.session is not None else ""
        return _log.for_call(self.tool, self.call_id, session)


class Input(Generic[T_co]):
    """The caller's chunks, one after the other: ``for`` in a ``def`` tool, else ``async for``.

    As a parameter's hint it makes a tool one that takes a stream. Waiting for the next chunk ends
    when the caller sends no more, and raises Cancelled when the call is to stop. A chunk that
    doesn't fit ``T`` raises InvalidArgumentsError.
    """

    __slots__ = ("_port",)

    def __init__(self, port: Port) -> None:
        """Made by the SDK."""
        self._port = port

    def __iter__(self) -> Iterator[T_co]:
        return self

    def __next__(self) -> T_co:
        item: T_co = self._port.next_input()
        return item

    def __aiter__(self) -> AsyncIterator[T_co]:
        return self

    async def __anext__(self) -> T_co:
        item: T_co = await self._port.next_input_later()
        return item


running: contextvars.ContextVar[Context | None] = contextvars.ContextVar("snakepit", default=None)


def current() -> Context:
    """Gives the context of the call that this code runs for.

    Raises:
        RuntimeError: it runs for none.
    """
    found = running.get()
    if found is None:
        raise RuntimeError("no tool is running here")
    return found
