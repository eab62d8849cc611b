"""What a tool can be and do, through the harness."""

# Tools' hints are needed at run time.
# ruff: noqa: TC003

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from typing_extensions import override

import snakepit
from snakepit import Adapter, Cancelled, Context, HostTool, Input, Marker, errors, tool
from snakepit.testing import Harness, Progress


class Kinds(Adapter):
    slots = 4

    def __init__(self) -> None:
        self.log: list[str] = []
        self.began = threading.Event()
        self.go = threading.Event()

    @override
    def setup(self) -> None:
        self.log.append("setup")

    @override
    def close(self) -> None:
        self.log.append("close")

    @tool
    def plain(self, a: int) -> int:
        return a + 1

    @tool
    async def later(self, a: int) -> int:
        await asyncio.sleep(0)
        return a + 1

    @tool
    def many(self, n: int) -> Iterator[int]:
        try:
            for i in range(n):
                self.log.append(f"make {i}")
                yield i
        finally:
            self.log.append("closed")

    @tool
    async def many_later(self, n: int) -> AsyncIterator[int]:
        try:
            for i in range(n):
                yield i
        finally:
            self.log.append("closed")

    @tool
    def total(self, numbers: Input[int]) -> int:
        return sum(numbers)

    @tool
    async def total_later(self, start: int, numbers: Input[int]) -> int:
        async for n in numbers:
            start += n
        return start

    @tool
    def double(self, numbers: Input[int]) -> Iterator[int]:
        for n in numbers:
            yield 2 * n

    @staticmethod
    @tool
    def static(a: int) -> int:
        return -a

    @classmethod
    @tool
    def of_class(cls, a: int) -> str:
        return f"{cls.__name__} {a}"

    @tool
    def boom(self, kind: str) -> None:
        match kind:
            case "exit":
                sys.exit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "typed":
                raise errors.ConflictError("not now", hint="later")
            case _:
                raise LookupError(kind)

    @tool
    async def boom_later(self, kind: str) -> None:
        await asyncio.sleep(0)
        self.boom(kind)

    @tool
    def nothing_encodable(self) -> object:
        return {"ok": 1, "bad": object()}

    @tool
    def coroutine(self) -> object:
        return self.later(1)

    @tool
    def who(self, c: Context) -> dict[str, Any]:
        return {
            "tool": c.tool,
            "id": c.call_id,
            "session": c.session.id if c.session else None,
            "remaining": c.remaining,
            "same": snakepit.current() is c,
            "cancelled": c.cancelled,
        }

    @tool
    def report(self, ctx: Context) -> None:
        ctx.progress(1, 2, "half")
        ctx.progress(2, 2)

    @tool
    def ask(self, ctx: Context, tool: str, x: int) -> Any:
        return ctx.call(tool, x=x)

    @tool
    def ask_by_name(self, ctx: Context, x: int) -> Any:
        return ctx.host.twice(x=x)

    @tool
    async def ask_later(self, ctx: Context, x: int) -> Any:
        second: asyncio.Future[Any] = asyncio.ensure_future(ctx.host.twice(x=x + 1))
        return [await ctx.acall("twice", x=x), await second]

    @tool
    async def ask_wrongly(self, ctx: Context) -> Any:
        return ctx.call("twice", x=1)

    @tool
    def offered(self, ctx: Context) -> list[str]:
        tools: dict[str, HostTool] = ctx.host.tools()
        assert "twice" in tools
        return [f"{t.name}: {t.description}" for t in tools.values()]

    @tool
    async def offered_later(self, ctx: Context) -> list[str]:
        return list(await ctx.host.tools())

    @tool
    def spin(self) -> None:
        self.began.set()
        try:
            while True:
                pass
        finally:
            self.log.append("stopped")

    @tool
    def stubborn_loop(self) -> None:
        self.began.set()
        while True:
            try:
                while True:
                    pass
            except Exception:  # noqa: BLE001, S112
                continue

    @tool
    async def rest(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("stopped")

    @tool(cancel="cooperative")
    def polite(self, ctx: Context) -> str:
        self.began.set()
        while not ctx.cancelled:
            self.go.wait(0.001)
        return "finished"

    @tool(cancel="cooperative")
    def checked(self, ctx: Context) -> None:
        self.began.set()
        while True:
            self.go.wait(0.001)
            ctx.check()


@pytest.fixture
def kinds() -> Iterator[Harness]:
    with Harness(Kinds) as harness:
        yield harness


def twice(x: int) -> int:
    """Doubles."""
    return 2 * x


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("plain", {"a": 1}, 2),
        ("later", {"a": 1}, 2),
        ("many", {"n": 3}, [0, 1, 2]),
        ("many_later", {"n": 3}, [0, 1, 2]),
        ("many", {"n": 70_000}, list(range(70_000))),
        ("total", {"numbers": [1, 2, 3]}, 6),
        ("total", {}, 0),
        ("total_later", {"start": 10, "numbers": [1, 2, 3]}, 16),
        ("double", {"numbers": [1, 2]}, [2, 4]),
        ("static", {"a": 1}, -1),
        ("of_class", {"a": 1}, "Kinds 1"),
    ],
)
def test_tools_of_every_kind_give_their_result(
    kinds: Harness, name: str, arguments: dict[str, Any], result: object
) -> None:
    assert kinds.call(name, **arguments) == result


@pytest.mark.parametrize("name", ["many", "many_later"])
def test_chunks_come_as_they_are_made(kinds: Harness, name: str) -> None:
    assert list(kinds.stream(name, n=4)) == [0, 1, 2, 3]


def test_stream_of_a_tool_that_yields_nothing_is_its_result(kinds: Harness) -> None:
    assert list(kinds.stream("plain", a=1)) == [2]
    assert list(kinds.stream("many", n=0)) == []


def test_reader_that_waits_holds_the_tool_back(kinds: Harness) -> None:
    chunks = kinds.stream("many", n=1000)
    assert next(chunks) == 0
    assert next(chunks) == 1
    made = [line for line in kinds.adapter.log if line.startswith("make")]
    assert len(made) <= 5


@pytest.mark.parametrize("name", ["many", "many_later"])
def test_leaving_the_loop_closes_the_generator(kinds: Harness, name: str) -> None:
    for _ in kinds.stream(name, n=1_000_000):
        break
    until(lambda: "closed" in kinds.adapter.log)


@pytest.mark.parametrize("name", ["boom", "boom_later"])
@pytest.mark.parametrize(
    ("kind", "type_"),
    [("x", "LookupError"), ("exit", "SystemExit"), ("interrupt", "KeyboardInterrupt")],
)
def test_whatever_a_tool_raises_is_an_error_of_the_call(
    kinds: Harness, name: str, kind: str, type_: str
) -> None:
    with pytest.raises(errors.ToolFailedError) as caught:
        kinds.call(name, kind=kind)
    x = caught.value.exception
    assert x is not None
    assert x.type == type_
    assert "in boom" in x.traceback
    assert "_dispatch.py" not in x.traceback
    assert caught.value.where.tool == name
    assert type(caught.value.__cause__).__name__ == type_
    assert kinds.call("plain", a=1) == 2


def test_typed_error_of_a_tool_reaches_its_caller(kinds: Harness) -> None:
    with pytest.raises(errors.ConflictError, match="not now") as caught:
        kinds.call("boom", kind="typed")
    assert caught.value.hint == "later"


def test_result_that_cannot_be_encoded_is_a_marker_or_strictly_an_error(kinds: Harness) -> None:
    result = kinds.call("nothing_encodable")
    assert result["ok"] == 1
    assert isinstance(result["bad"], Marker)
    with (
        Harness(Kinds, strict=True) as strict,
        pytest.raises(errors.InvalidResultError) as caught,
    ):
        strict.call("nothing_encodable")
    assert caught.value.path == "$.bad"


def test_coroutine_from_a_plain_tool_is_a_mistake_that_is_explained(kinds: Harness) -> None:
    with pytest.raises(errors.ToolFailedError, match="make it async def"):
        kinds.call("coroutine")


def test_context_tells_of_the_call(kinds: Harness) -> None:
    kinds.session = "user-1"
    who = kinds.call("who")
    assert 0 < who.pop("remaining") <= 60
    assert who.pop("id").startswith("call-")
    assert who == {"tool": "who", "session": "user-1", "same": True, "cancelled": False}
    kinds.session = None
    assert kinds.call("who")["session"] is None


def test_no_call_is_current_outside_of_one() -> None:
    with pytest.raises(RuntimeError, match="no tool"):
        snakepit.current()


def test_progress_is_recorded(kinds: Harness) -> None:
    kinds.call("report")
    assert kinds.progress == [Progress("report", 1, 2, "half"), Progress("report", 2, 2, "")]


def test_host_tools_are_called_by_name_in_every_way(kinds: Harness) -> None:
    kinds.host_tool("twice", twice)
    assert kinds.call("ask", tool="twice", x=2) == 4
    assert kinds.call("ask_by_name", x=2) == 4
    assert kinds.call("ask_later", x=2) == [4, 6]
    assert kinds.call("offered") == ["twice: Doubles."]
    assert kinds.call("offered_later") == ["twice"]


def test_call_that_would_block_the_loop_is_refused(kinds: Harness) -> None:
    kinds.host_tool("twice", twice)
    with pytest.raises(errors.ToolFailedError, match="acall"):
        kinds.call("ask_wrongly")


def test_host_tools_errors_reach_the_tool_typed(kinds: Harness) -> None:
    def refuse(x: int) -> None:
        text = f"{x} is too much"
        raise errors.ExhaustedError(text, reason="rate_limited")

    def crash(x: int) -> None:
        raise ZeroDivisionError(x)

    kinds.host_tool("refuse", refuse)
    kinds.host_tool("crash", crash)
    with pytest.raises(errors.ExhaustedError) as caught:
        kinds.call("ask", tool="refuse", x=9)
    assert caught.value.reason == "rate_limited"
    assert caught.value.may_have_run
    with pytest.raises(errors.ToolFailedError) as failed:
        kinds.call("ask", tool="crash", x=9)
    assert failed.value.raised(ArithmeticError)
    with pytest.raises(errors.ToolNotFoundError):
        kinds.call("ask", tool="nobody", x=9)


@pytest.mark.parametrize("name", ["spin", "stubborn_loop", "rest"])
def test_cancel_stops_a_tool(kinds: Harness, name: str) -> None:
    running = kinds.start(name)
    assert kinds.adapter.began.wait(10)
    running.cancel()
    with pytest.raises(errors.CallCancelledError) as caught:
        running.result()
    assert caught.value.may_have_run
    assert kinds.call("plain", a=1) == 2


def test_cleanup_runs_when_a_tool_is_cancelled(kinds: Harness) -> None:
    running = kinds.start("spin")
    assert kinds.adapter.began.wait(10)
    running.cancel()
    with pytest.raises(errors.CallCancelledError):
        running.result()
    assert "stopped" in kinds.adapter.log


def test_cooperative_tool_decides_for_itself(kinds: Harness) -> None:
    running = kinds.start("polite")
    assert kinds.adapter.began.wait(10)
    running.cancel()
    assert running.result() == "finished"


def test_check_stops_a_cooperative_tool(kinds: Harness) -> None:
    running = kinds.start("checked")
    assert kinds.adapter.began.wait(10)
    running.cancel()
    with pytest.raises(errors.CallCancelledError):
        running.result()


@pytest.mark.parametrize("name", ["spin", "rest"])
def test_deadline_stops_a_tool(name: str) -> None:
    with Harness(Kinds, timeout=0.05) as kinds:
        began = time.monotonic()
        with pytest.raises(errors.DeadlineError):
            kinds.call(name)
        assert time.monotonic() - began < 10


def test_tool_that_waits_for_the_host_can_be_cancelled(kinds: Harness) -> None:
    asked, answer = threading.Event(), threading.Event()

    def wait(x: int) -> bool:
        asked.set()
        return answer.wait(x)

    kinds.host_tool("wait", wait)
    running = kinds.start("ask", tool="wait", x=10)
    assert asked.wait(10)
    running.cancel()
    with pytest.raises(errors.CallCancelledError):
        running.result()
    answer.set()


def test_chunk_that_does_not_fit_is_named_by_its_path(kinds: Harness) -> None:
    for name in ("total", "total_later"):
        arguments: dict[str, Any] = {"start": 0} if name == "total_later" else {}
        with pytest.raises(errors.InvalidArgumentsError) as caught:
            kinds.call(name, numbers=[1, "two"], **arguments)
        assert caught.value.path == "$.numbers[1]"


def test_slots_run_calls_at_once_and_the_others_wait(kinds: Harness) -> None:
    running = [kinds.start("rest") for _ in range(3)]
    queued = [kinds.start("polite") for _ in range(4)]
    until(kinds.adapter.began.is_set)
    for r in running:
        r.cancel()
    for q in queued:
        q.cancel()
    for r in running:
        with pytest.raises(errors.CallCancelledError):
            r.result()
    for q in queued:
        try:
            assert q.result() == "finished"
        except errors.CallCancelledError as e:
            assert not e.may_have_run  # noqa: PT017  it was cancelled while it waited


def test_adapter_is_set_up_and_closed() -> None:
    adapter = Kinds()
    with Harness(adapter) as harness:
        assert harness.adapter is adapter
        assert harness.tools == sorted(harness.tools)
    assert adapter.log == ["setup", "close"]


def test_closed_harness_takes_no_calls(kinds: Harness) -> None:
    kinds.close()
    with pytest.raises(errors.UnavailableError, match="draining"):
        kinds.call("plain", a=1)


def test_cancelled_is_no_exception_that_loops_swallow() -> None:
    assert not issubclass(Cancelled, Exception)


def until(fact: Callable[[], bool]) -> None:
    """Waits for a fact, giving other threads the time."""
    end = time.monotonic() + 20
    while not fact():
        assert time.monotonic() < end
        threading.Event().wait(0.001)
