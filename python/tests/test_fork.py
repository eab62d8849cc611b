"""What tools fork: children must neither speak for their worker nor hide its death."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from test_plugin import holds_socket
from worker_host import PATIENCE, WorkerProcess

Start = Callable[..., WorkerProcess]

TOOLS = """
import multiprocessing, os, signal, sys, time
from collections.abc import Iterator
from snakepit import Adapter, Context, Input, current, tool

fork = multiprocessing.get_context("fork")

def attempt(what):
    ctx = current()
    try:
        if what == "call":
            return ctx.call("host_tool")
        if what == "progress":
            return ctx.progress(1)
        if what == "log":
            return ctx.logger.warning("from a child")
        return [ctx.cancelled, ctx.tool]
    except RuntimeError as e:
        return str(e)

def wait_for_ever(begun):
    begun.release()
    while True:
        signal.pause()

class Tools(Adapter):
    slots = int(os.environ.get("SLOTS", "1"))

    @tool
    def echo(self, value: object = None) -> object:
        return value

    @tool
    def attempts(self, ctx: Context, names: list[str]) -> list[object]:
        ctx.progress(1, 2)
        with fork.Pool(2) as pool:
            return pool.map(attempt, names)

    @tool
    def attempts_by_joblib(self, numbers: list[int]) -> list[int]:
        from joblib import Parallel, delayed
        return Parallel(n_jobs=2)(delayed(abs)(n) for n in numbers)

    @tool
    def grow(self, processes: int) -> list[int]:
        begun = fork.Semaphore(0)
        found = [
            fork.Process(target=wait_for_ever, args=(begun,), daemon=True)
            for _ in range(processes)
        ]
        for process in found:
            process.start()
        for _ in found:
            begun.acquire()
        return [process.pid for process in found]

    @tool
    def many(self, n: int) -> list[int]:
        codes = []
        for _ in range(n):
            process = fork.Process(target=abs, args=(1,))
            process.start()
            process.join()
            codes.append(process.exitcode)
        return codes

    @tool
    def leave(self, how: str) -> int:
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if how == "raises":
            raise ValueError("lost in a child")
        if how == "exits":
            sys.exit(7)
        return 0

    @tool
    async def leave_later(self) -> int:
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        raise ValueError("lost in a child")

    @tool
    def chunks(self) -> Iterator[int]:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            yield os.getpid()
        yield -1 if not child else os.getpid()

    @tool
    def take(self, numbers: Input[int]) -> int:
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return sum(numbers)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(**options: str) -> WorkerProcess:
            return stack.enter_context(WorkerProcess(tmp_path, TOOLS, **options))

        yield begin


@pytest.mark.parametrize("slots", ["1", "4"])
def test_pools_children_are_told_that_they_cannot_reach_the_host(start: Start, slots: str) -> None:
    with start(SLOTS=slots).lane() as host:
        told = host.call("attempts", names=["call", "progress", "log", "look"] * 5)
        refusal = "a forked child of a worker can't reach the host: do it in the tool"
        assert told == [refusal, refusal, None, [False, "attempts"]] * 5
        assert [(r.done, r.total) for r in host.reports] == [(1, 2)]
        assert host.call("echo", value="one lane") == "one lane"


@pytest.mark.parametrize("slots", ["1", "4"])
def test_children_that_are_forked_during_a_grpc_call_do_not_crash(start: Start, slots: str) -> None:
    assert set(start(SLOTS=slots).call("many", n=60)) == {0}


@pytest.mark.parametrize("slots", ["1", "4"])
def test_joblib_works_in_a_tool(start: Start, slots: str) -> None:
    pytest.importorskip("joblib")
    worker = start(SLOTS=slots, by="setsid")
    with worker.lane() as host:
        assert host.call("attempts_by_joblib", numbers=[-1, -2, 3]) == [1, 2, 3]
        assert host.call("attempts_by_joblib", numbers=[-4]) == [4]
    # Its group, as the shim does: joblib's processes would wait for work for five minutes.
    os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.wait(PATIENCE)
    # Who is killed takes nothing back.
    shared = Path("/dev/shm")  # noqa: S108
    for semaphore in shared.glob(f"sem.loky-{worker.process.pid}-*"):
        semaphore.unlink()
    for folder in shared.glob(f"joblib_*_{worker.process.pid}_*"):
        shutil.rmtree(folder)


@pytest.mark.parametrize("slots", ["1", "4"])
def test_forked_children_do_not_hide_the_workers_death(start: Start, slots: str) -> None:
    worker = start(SLOTS=slots)
    with worker.lane() as host, socket.socket(socket.AF_UNIX) as greeting:
        # One that hasn't said hello yet, and may have been accepted by now.
        lane_address = worker.attach().lane_address
        greeting.connect(lane_address)
        greeting.settimeout(PATIENCE)
        children = host.call("grow", processes=3)
        try:
            for child in children:
                for address in (worker.address, lane_address):
                    assert not holds_socket(child, address)
            worker.process.kill()
            worker.process.wait(PATIENCE)
            assert host.has_ended()
            with suppress(ConnectionError):
                assert greeting.recv(1) == b""
            with pytest.raises(grpc.RpcError) as caught:
                worker.describe()
            status: Any = caught.value
            assert status.code() == grpc.StatusCode.UNAVAILABLE
            with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as late:
                late.connect(lane_address)
            for child in children:
                os.kill(child, 0)  # they're there
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("tool", "arguments", "status"),
    [
        ("leave", {"how": "returns"}, 0),
        ("leave", {"how": "raises"}, 1),
        ("leave", {"how": "exits"}, 7),
        ("leave_later", {}, 1),
    ],
)
def test_child_that_comes_out_of_its_tool_ends_there(
    start: Start, tool: str, arguments: dict[str, str], status: int
) -> None:
    worker = start()
    with worker.lane() as host:
        assert host.call(tool, **arguments) == status
        assert host.call("echo", value="one answer") == "one answer"
    assert ("ValueError: lost in a child" in worker.stderr()) == (status == 1)


def test_child_sends_no_chunks_and_takes_none(start: Start) -> None:
    worker = start()
    with worker.lane() as host:
        pid = worker.describe().pid
        assert list(host.chunks(host.open("chunks", stream=True))) == [pid, pid]
        number = host.open("take", input=True)
        end = host.end(number)
        assert not end.HasField("error"), end.error
        assert end.payload == b"\x01"
    assert "can't reach the host" in worker.stderr()


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="needs Linux")
def test_worker_and_its_children_go_before_their_host_when_memory_is_short(start: Start) -> None:
    with start().lane() as host:
        (child,) = host.call("grow", processes=1)
        pid = int(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[1])
        for each in (child, pid):
            assert Path(f"/proc/{each}/oom_score_adj").read_text() == "500\n"
        os.kill(child, signal.SIGKILL)
