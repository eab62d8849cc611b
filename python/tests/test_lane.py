"""The lane of a real worker, frame by frame. The whole of LANE.md is tested by lanetest, in Go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from snakepit import _values
from snakepit.v1 import lane_pb2
from worker_host import LaneHost, WorkerProcess

TOOLS = """
import asyncio, os, socket, threading, time
from collections.abc import AsyncIterator, Iterator
from snakepit import Adapter, Cancelled, Context, Input, tool

class Tools(Adapter):
    slots = int(os.environ.get("SLOTS", "1"))
    made = 0

    @tool
    def echo(self, value: object = None) -> object:
        return value

    @tool
    def size(self, data: bytes) -> int:
        return len(data)

    @tool
    def blob(self, size: int) -> bytes:
        return bytes(size)

    @tool
    def blobs(self, n: int, size: int) -> Iterator[bytes]:
        self.made = 0
        for _ in range(n):
            self.made += 1
            yield bytes(size)

    @tool
    async def blobs_later(self, n: int, size: int) -> AsyncIterator[bytes]:
        self.made = 0
        for _ in range(n):
            self.made += 1
            yield bytes(size)

    @tool
    async def how_many(self) -> int:
        return self.made

    @tool
    def total(self, numbers: Input[int]) -> int:
        return sum(numbers)

    @tool
    async def total_later(self, numbers: Input[int]) -> int:
        total = 0
        async for n in numbers:
            total += n
        return total

    @tool
    def sleep(self) -> None:
        time.sleep(60)

    @tool
    def lock(self) -> None:
        held = threading.Lock()
        held.acquire()
        held.acquire()

    @tool
    def read(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.recv(1)

    @tool
    def spin(self) -> None:
        while True:
            pass

    @tool
    def swallow(self) -> None:
        while True:
            try:
                time.sleep(0.001)
            except Exception:
                continue

    @tool
    async def rest(self) -> None:
        await asyncio.Event().wait()

    @tool
    def wait_for_input(self, chunks: Input[int]) -> int:
        return sum(chunks)

    @tool
    def ask(self, ctx: Context, n: int) -> list[object]:
        return [ctx.call("double", n=i) for i in range(n)]

    @tool
    async def ask_later(self, ctx: Context, n: int) -> list[object]:
        return await asyncio.gather(*(ctx.acall("double", n=i) for i in range(n)))

    @tool
    def race(self, spins: int) -> str:
        for _ in range(spins):
            pass
        return "done"

    @tool
    def report(self, ctx: Context, n: int) -> None:
        for i in range(1, n + 1):
            ctx.progress(i, n, "é" * 200)
"""

Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(**env: str) -> WorkerProcess:
            return stack.enter_context(WorkerProcess(tmp_path, TOOLS, **env))

        yield begin


@pytest.fixture(params=["1", "4"], ids=["main-thread", "pool"])
def host(request: pytest.FixtureRequest, start: Start) -> Iterator[LaneHost]:
    """A lane to a worker with one slot, and to one with several."""
    with start(SLOTS=request.param).lane() as lane:
        yield lane


def test_calls_are_answered_one_after_the_other(host: LaneHost) -> None:
    for i in range(300):
        assert host.call("echo", value=i) == i


def test_calls_beyond_the_slots_wait_their_turn(host: LaneHost) -> None:
    numbers = [host.open("echo", {"value": i}) for i in range(200)]
    seen: dict[int, Any] = {}
    while len(seen) < len(numbers):
        frame = host.receive()
        if frame.HasField("end"):
            seen[frame.call_id] = _values.decode(frame.end.payload)
    assert [seen[n] for n in numbers] == list(range(200))


def test_message_of_64_mib_is_cut_into_frames_both_ways(host: LaneHost) -> None:
    size = 64 << 20
    assert len(host.call("blob", size=size)) == size
    send_cut(host, 3, _values.encode({"data": bytes(size)}))
    assert _values.decode(host.end(3).payload) == size


def send_cut(host: LaneHost, number: int, payload: bytes) -> None:
    """Sends arguments in frames, as the worker's credit permits."""
    most, balance = host.hello.max_frame, host.hello.call_window
    for at in range(0, len(payload), most):
        while balance <= 0:
            frame = host.receive()
            if frame.HasField("credit") and frame.call_id == number:
                balance += frame.credit.bytes
        part = payload[at : at + most]
        call = lane_pb2.Call(tool="size" if at == 0 else "", payload=part)
        more = at + most < len(payload)
        host.send(lane_pb2.Frame(call_id=number, more=more, call=call))
        balance -= 64 + len(part)


@pytest.mark.parametrize("tool", ["blobs", "blobs_later"])
def test_consumer_that_never_reads_stops_the_tool(start: Start, tool: str) -> None:
    with start(SLOTS="2").lane() as host:
        number = host.open(tool, {"n": 1000, "size": 100_000}, stream=True)
        sent = 0
        while sent < 1 << 20:  # all that the credit allows has come
            sent += 64 + len(host.receive().data.payload)
        made = stable(lambda: host.call("how_many"))
        assert made <= 15
        host.cancel(number)
        assert host.end(number).error.reason == "cancelled"


def stable(count: Callable[[], int]) -> int:
    """Asks until the answer stays the same."""
    before = -1
    for _ in range(200):
        now = count()
        if now == before:
            return now
        before = now
    raise AssertionError(before)


def test_chunks_arrive_in_order_for_a_reader_that_reads(host: LaneHost) -> None:
    for tool in ("blobs", "blobs_later"):
        number = host.open(tool, {"n": 500, "size": 10_000}, stream=True)
        assert sum(1 for _ in host.chunks(number)) == 500


@pytest.mark.parametrize("tool", ["total", "total_later"])
def test_chunks_of_the_caller_reach_the_tool(host: LaneHost, tool: str) -> None:
    number = host.open(tool, input=True)
    for i in range(100):
        data = lane_pb2.Data(payload=_values.encode(i))
        host.send(lane_pb2.Frame(call_id=number, data=data))
    host.send(lane_pb2.Frame(call_id=number, half_close=lane_pb2.HalfClose()))
    assert _values.decode(host.end(number).payload) == 4950


@pytest.mark.parametrize("tool", ["sleep", "lock", "read", "spin", "swallow", "rest"])
def test_cancel_frees_the_main_thread_from_anything(start: Start, tool: str) -> None:
    with start().lane() as host:
        host.call("echo")
        for _ in range(3):
            number = host.open(tool)
            host.wait_until_busy()
            host.cancel(number)
            error = host.end(number).error
            assert error.reason == "cancelled"
            assert error.may_have_run
        assert host.call("echo", value="free") == "free"


@pytest.mark.parametrize("tool", ["spin", "swallow", "rest"])
def test_cancel_frees_a_thread(start: Start, tool: str) -> None:
    with start(SLOTS="2").lane() as host:
        number = host.open(tool)
        host.wait_until_busy()
        host.cancel(number)
        assert host.end(number).error.reason == "cancelled"


@pytest.mark.parametrize("tool", ["spin", "sleep", "rest", "wait_for_input"])
def test_deadline_is_kept_by_the_worker(start: Start, tool: str) -> None:
    with start().lane() as host:
        host.call("echo")
        number = host.open(tool, timeout_us=50_000, input=tool == "wait_for_input")
        assert host.end(number).error.reason == "deadline"
        assert host.call("echo", value="free") == "free"


def test_deadline_of_a_call_that_waits_for_a_slot_is_kept(start: Start) -> None:
    with start().lane() as host:
        running = host.open("sleep")
        waiting = host.open("echo", timeout_us=50_000)
        error = host.end(waiting).error
        assert (error.reason, error.may_have_run) == ("deadline", False)
        host.cancel(running)
        assert host.end(running).error.reason == "cancelled"


def test_waiting_call_can_be_cancelled(start: Start) -> None:
    with start().lane() as host:
        running, waiting = host.open("sleep"), host.open("echo")
        host.cancel(waiting)
        error = host.end(waiting).error
        assert (error.reason, error.may_have_run) == ("cancelled", False)
        host.cancel(running)
        host.end(running)


def test_cancel_at_the_moment_of_return_leaves_the_worker_whole(host: LaneHost) -> None:
    """Races cancels with ends a few thousand times; each call gets exactly one end."""
    ends = {"done": 0, "cancelled": 0}
    for i in range(2000):
        number = host.open("race", {"spins": i % 400 * 10})
        host.cancel(number)
        end = host.end(number)
        if end.HasField("error"):
            assert end.error.reason == "cancelled"
            ends["cancelled"] += 1
        else:
            assert _values.decode(end.payload) == "done"
            ends["done"] += 1
    assert sum(ends.values()) == 2000
    assert host.call("echo", value="whole") == "whole"


def test_host_tools_are_called_in_the_middle_of_a_tool(host: LaneHost) -> None:
    for tool in ("ask", "ask_later"):
        number = host.open(tool, {"n": 50}, session="s", id="c-1")
        for _ in range(50):
            asked = next_call(host)
            assert asked.call.parent == number
            assert asked.call.session == "s"
            answer = _values.encode(2 * _values.decode(asked.call.payload)["n"])
            end = lane_pb2.End(payload=answer)
            host.send(lane_pb2.Frame(call_id=asked.call_id, end=end))
        assert _values.decode(host.end(number).payload) == [2 * i for i in range(50)]


def next_call(host: LaneHost) -> lane_pb2.Frame:
    while True:
        frame = host.receive()
        if frame.HasField("call"):
            assert frame.call_id % 2 == 0
            return frame


def test_call_to_the_host_is_cancelled_with_its_parent(host: LaneHost) -> None:
    for tool in ("ask", "ask_later"):
        number = host.open(tool, {"n": 1})
        asked = next_call(host)
        host.cancel(number)
        cancelled = ended = False
        while not (cancelled and ended):
            frame = host.receive()
            cancelled |= frame.call_id == asked.call_id and frame.HasField("cancel")
            ended |= frame.call_id == number and frame.HasField("end")
        answer = lane_pb2.End(payload=_values.encode(0))
        host.send(lane_pb2.Frame(call_id=asked.call_id, end=answer))  # too late, and dropped
        assert host.call("echo", value=1) == 1


def test_call_with_too_much_about_it_is_refused(host: LaneHost) -> None:
    many = {str(i): "v" for i in range(17)}
    odd: list[dict[str, Any]] = [
        {"session": "s" * 257},
        {"id": "ü" * 129},
        {"metadata": many},
        {"metadata": {"k": "v" * 4096}},
    ]
    for fields in odd:
        error = host.end(host.open("echo", **fields)).error
        assert (error.reason, error.may_have_run) == ("invalid_arguments", False)
    most = {"session": "s" * 256, "id": "i" * 256, "metadata": {"k": "v" * 4095}}
    assert not host.end(host.open("echo", **most)).HasField("error")


def test_cancel_cuts_a_huge_result_short(host: LaneHost) -> None:
    number = host.open("blob", {"size": 64 << 20})
    while not host.receive().HasField("end"):
        pass
    host.cancel(number)
    while True:
        frame = host.receive()
        if frame.HasField("end") and not frame.more:
            break
    assert frame.end.error.reason == "cancelled"
    assert host.call("echo", value="next") == "next"


def test_time_left_shrinks_on_the_way_to_the_host(host: LaneHost) -> None:
    number = host.open("ask", {"n": 1}, timeout_us=10_000_000)
    asked = next_call(host)
    assert 0 < asked.call.timeout_us <= 10_000_000
    host.cancel(number)
    host.end(number)


def test_progress_is_throttled_and_its_last_report_comes(host: LaneHost) -> None:
    began = time.monotonic()
    host.end(host.open("report", {"n": 5000}))
    assert 1 <= len(host.reports) <= 3 + (time.monotonic() - began) / 0.05
    assert host.reports[-1].done == 5000
    assert len(host.reports[-1].message.encode()) <= 256


def test_pong_tells_for_how_long_a_tool_runs(host: LaneHost) -> None:
    assert host.ping() == 0
    number = host.open("spin")
    host.wait_until_busy()
    first = host.ping()
    assert host.ping() > first > 0
    host.cancel(number)
    host.end(number)
    assert stable(host.ping) == 0


def test_lane_that_ends_stops_its_tools(start: Start) -> None:
    worker = start()
    with worker.lane() as host:
        host.open("sleep")
        host.wait_until_busy()
    with worker.lane() as host:
        assert host.call("echo", value="next") == "next"


def test_new_lane_closes_the_one_before(start: Start) -> None:
    worker = start()
    attached = worker.attach()
    with LaneHost(attached.lane_address, attached.lane_token) as first:
        assert first.call("echo", value=1) == 1
        with LaneHost(attached.lane_address, attached.lane_token) as second:
            assert first.has_ended()
            assert second.call("echo", value=2) == 2


def test_idle_worker_uses_no_time(start: Start) -> None:
    worker = start()
    with worker.lane() as host:
        for i in range(200):
            host.call("echo", value=i)
        until_calm(worker.process.pid)


def until_calm(pid: int) -> None:
    """Waits until half a second costs no tick of processor time."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        pytest.skip("needs /proc")
    for _ in range(20):
        before = ticks(stat)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            time.sleep(0.1)
        if ticks(stat) == before:
            return
    raise AssertionError("the worker is never calm")


def ticks(stat: Path) -> int:
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
