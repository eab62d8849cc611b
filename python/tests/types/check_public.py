"""What type checkers make of the public API. mypy and pyright read this file; nobody runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from logging import Logger, LoggerAdapter
from typing import Any, assert_type

from typing_extensions import override

import snakepit
from snakepit import (
    Adapter,
    Cancelled,
    Context,
    Host,
    HostTool,
    Input,
    Session,
    State,
    errors,
    tool,
)
from snakepit.testing import Harness, Progress, RunningCall


class Tools(Adapter):
    slots = 4

    @tool
    def bare(self, a: int, b: str = "") -> list[float]:
        return [float(a)] if b else []

    @tool(name="other", description="d", idempotent=True, cancel="cooperative")
    def called(self, a: int) -> str:
        return str(a)

    @tool
    async def later(self, ctx: Context) -> bytes:
        assert_type(await ctx.acall("x", a=1), Any)
        return b""

    @tool
    def chunks(self, numbers: Input[int]) -> Iterator[str]:
        for n in numbers:
            assert_type(n, int)
            yield str(n)

    @tool
    async def chunks_later(self, numbers: Input[str]) -> AsyncIterator[int]:
        async for n in numbers:
            assert_type(n, str)
            yield len(n)


class Hooked(Adapter):
    @override
    def on_session_open(self, session: Session) -> None: ...

    @override
    async def on_session_restore(self, session: Session, saved: bytes | None) -> None: ...

    @override
    def on_session_save(self, session: Session) -> bytes:
        return session.id.encode()

    @override
    async def on_session_close(self, session: Session, moved: bool) -> None: ...


class HookedLater(Adapter):
    @override
    async def on_session_open(self, session: Session) -> None: ...

    @override
    def on_session_restore(self, session: Session, saved: bytes | None) -> None: ...

    @override
    async def on_session_save(self, session: Session) -> bytes | None:
        return await session.state.aget("saved")  # type: ignore[no-any-return]

    @override
    def on_session_close(self, session: Session, moved: bool) -> None: ...


class Wrong(Adapter):
    @override
    def on_session_open(self, session: Session) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return len(session.id)

    @override
    def on_session_restore(self, session: Session) -> None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]


@tool
def function(a: int) -> int:
    return a


@tool(cancel="kill")
def killed() -> None: ...


def tools_keep_their_signatures(tools: Tools) -> None:
    assert_type(tools.bare(1, "b"), list[float])
    assert_type(tools.called(1), str)
    assert_type(function(1), int)
    keeps: Callable[[int], int] = function
    keeps(1)
    tools.bare("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    function()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def options_are_checked() -> None:
    tool(cancel="politely")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    tool(nane="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def context_is_typed(ctx: Context) -> None:
    assert_type(ctx.call_id, str)
    assert_type(ctx.tool, str)
    assert_type(ctx.session, Session | None)
    assert_type(ctx.deadline, float | None)
    assert_type(ctx.remaining, float | None)
    assert_type(ctx.cancelled, bool)
    assert_type(ctx.metadata, Mapping[str, str])
    assert_type(ctx.logger, LoggerAdapter[Logger])
    assert_type(ctx.host, Host)
    assert_type(ctx.host.anything(x=1), Any)
    assert_type(ctx.call("anything", x=1), Any)
    ctx.progress(1, 2, "half")
    assert_type(snakepit.current(), Context)
    assert_type(ctx.fencing_token, int)


def session_is_typed(session: Session, other: Session) -> None:
    assert_type((session.id, session.home), tuple[str, bool])
    assert_type((session.epoch, session.fencing_token), tuple[int, int])
    assert_type(session.state, State)
    assert_type({session: 1, other: 2}, dict[Session, int])
    session.id = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def state_is_typed(state: State) -> None:
    assert_type(state["k"], Any)
    assert_type(state.get("k"), Any | None)
    assert_type(list(state), list[str])
    assert_type(state.version("k"), int)
    assert_type(state.set("k", 1, expected=state.version("k")), int)
    assert_type(state.write({"k": 1}, delete=["l"], expected={"k": 0}), int)
    state["k"] = object()
    del state["k"]
    state.update({"k": 1}, l=2)
    assert_type(await state.aget("k"), Any)
    assert_type(await state.aset("k", 1, expected=0), int)
    assert_type(await state.aversion("k"), int)
    assert_type(await state.awrite({"k": 1}, delete=["l"]), int)
    await state.aupdate(k=1)
    await state.adelete("k")
    await state.aload()
    state[1]  # type: ignore[index]  # pyright: ignore[reportArgumentType]


def host_tool_is_typed(t: HostTool) -> None:
    assert_type((t.name, t.description, t.input_schema), tuple[str, str, str])


def harness_is_typed() -> None:
    with Harness(Tools) as harness:
        assert_type(harness, Harness)
        assert_type(harness.call("bare", a=1), Any)
        assert_type(harness.stream("chunks", numbers=[1]), Iterator[Any])
        assert_type(harness.start("bare", a=1), RunningCall)
        assert_type(harness.progress, list[Progress])
        assert_type(harness.session, str | None)
        assert_type((harness.home, harness.epoch), tuple[bool, int | None])
        assert_type(harness.state(), dict[str, Any])
        harness.set_state({"k": 1}, "other")
        harness.open_session()
        assert_type(harness.save_session(), bytes | None)
        harness.restore_session(b"saved")
        harness.close_session(moved=True)
        harness.take_over(Harness(Hooked), "other", planned=True)


def errors_are_typed() -> None:
    try:
        harness_is_typed()
    except errors.ToolFailedError as e:
        assert_type(e.exception, errors.RemoteException | None)
        assert_type(e.raised(ValueError), bool)
    except errors.Error as e:
        assert_type((e.reason, e.path, e.hint), tuple[str, str, str])
        assert_type(e.where, errors.Where)
        assert_type(e.retry_after, float)
        if isinstance(e, errors.ConflictError):
            assert_type((e.key, e.version), tuple[str, int])
    except Cancelled as e:
        assert_type(e.reason, str)
