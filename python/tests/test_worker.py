"""The worker as hosts see it: every worker here is a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from snakepit.v1 import error_pb2, worker_pb2
from worker_host import COOKIE, PATIENCE, LaneHost, WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

Start = Callable[..., WorkerProcess]

TOOLS = """
import os, signal, subprocess, sys, time
from collections.abc import Iterator
from snakepit import Adapter, Context, Input, tool

print("noise while the adapter is imported")
os.write(1, b"and from below\\n")

class Tools(Adapter):
    slots = int(os.environ.get("SLOTS", "1"))

    def setup(self) -> None:
        self.closed_at = os.environ.get("CLOSED_AT", "")

    def close(self) -> None:
        if self.closed_at:
            with open(self.closed_at, "w") as f:
                f.write("closed")

    @tool
    def echo(self, value: object = None) -> object:
        print("noise")
        return value

    @tool
    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    @tool
    def blob(self, size: int) -> bytes:
        return bytes(size)

    @tool
    def sleep(self, seconds: float) -> str:
        time.sleep(seconds)
        return "rested"

    @tool
    def spin(self) -> None:
        while True:
            pass

    @tool
    def fail(self, kind: str) -> None:
        if kind == "exit":
            sys.exit(3)
        raise LookupError("nothing " * 3000)

    @tool
    def odd(self) -> object:
        return object()

    @tool
    def fork(self) -> int:
        child = os.fork()
        if not child:
            return -1  # it comes back into the SDK
        return os.waitpid(child, 0)[1]

    @tool
    def fork_and_hold(self) -> int:
        return subprocess.Popen(["sleep", "60"]).pid

    @tool
    def pool(self) -> list[int]:
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as workers:
            return workers.map(abs, [-1, -2])

    @tool
    def ask(self, ctx: Context, name: str) -> object:
        return ctx.call(name)

    @tool
    def umask(self) -> int:
        was = os.umask(0)
        os.umask(was)
        return was

    @tool
    def log(self, ctx: Context) -> None:
        ctx.logger.warning("careful")
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a worker that ends with the test."""
    with ExitStack() as stack:

        def begin(source: str = TOOLS, **options: str) -> WorkerProcess:
            return stack.enter_context(WorkerProcess(tmp_path, source, **options))

        yield begin


def detail_of(e: Any) -> error_pb2.Error:
    """Reads the error out of a status, as Go's status package does."""
    (raw,) = [v for k, v in e.trailing_metadata() if k == "grpc-status-details-bin"]
    name = b"type.googleapis.com/snakepit.v1.Error"
    rest = raw[raw.index(name) + len(name) :]
    assert rest[:1] == b"\x12"  # Any.value
    size, at = 0, 1
    for shift in range(0, 35, 7):
        size |= (rest[at] & 0x7F) << shift
        at += 1
        if rest[at - 1] < 0x80:
            break
    return error_pb2.Error.FromString(rest[at : at + size])


def failure_of(call: Callable[[], object]) -> tuple[grpc.StatusCode, error_pb2.Error]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status: Any = caught.value
    return status.code(), detail_of(status)


# By hand.


def run_by_hand(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in COOKIE}
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "snakepit", *arguments],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_started_by_hand_it_explains_itself() -> None:
    done = run_by_hand("digits.py")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "snakepit call --adapter digits.py" in done.stderr


def test_help_and_version_and_misuse() -> None:
    assert "FILE.py:Class" in run_by_hand("--help").stdout
    assert "snakepit-sdk 0.1.0" in run_by_hand("--version").stdout
    assert run_by_hand().returncode == 2
    assert run_by_hand("a", "b").returncode == 2


def test_tools_can_be_printed_without_a_host(tmp_path: Path) -> None:
    path = tmp_path / "tools.py"
    path.write_text("print(1)\nfrom snakepit import tool\n@tool\ndef a(n: int) -> int: return n")
    described = json.loads(run_by_hand("--describe", str(path)).stdout)
    assert described["adapter"] == "tools"
    assert described["tools"][0]["input_schema"]["required"] == ["n"]
    missing = run_by_hand("--describe", "gone.py")
    assert missing.returncode == 1
    assert "there is no file" in missing.stderr


# The start.


def test_handshake_comes_before_the_adapter_is_imported(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    source = f"""
    open({str(gate)!r}).read()
    from snakepit import tool
    @tool
    def a(): ...
    """
    worker = start(source)
    assert worker.line.startswith("1|1|unix|")
    described = worker.stub.Describe.future(worker_pb2.DescribeRequest(), timeout=PATIENCE)
    with pytest.raises(grpc.FutureTimeoutError):
        described.result(timeout=0.2)
    gate.write_text("go")
    assert described.result().adapter == "tools"


def test_prints_reach_standard_error_and_nothing_else(start: Start) -> None:
    worker = start()
    assert worker.call("echo", value=1) == 1
    worker.process.kill()
    assert worker.process.stdout is not None
    assert worker.process.stdout.read() == b""
    assert "noise while the adapter is imported\nand from below" in worker.stderr()


def test_description_is_complete(start: Start) -> None:
    d = start().describe()
    assert (d.adapter, d.sdk_version, d.runtime, d.slots) == ("Tools", "0.1.0", "cpython", 1)
    assert list(d.capabilities) == ["lane/local", "lane/grpc"]
    names = [t.name for t in d.tools]
    assert names == sorted(names)
    count = d.tools[names.index("count")]
    assert (count.stream, count.cancel, count.idempotent) == (True, "interrupt", False)
    assert json.loads(count.output_schema) == {"type": "integer"}


BROKEN = {
    "syntax error": ("def broken(:\n", "", "SyntaxError", "tools.py"),
    "raises": ("raise LookupError('no data')", "", "LookupError", "in line 1"),
    "exits": ("import sys; sys.exit(7)", "", "SystemExit", "sys.exit(7)"),
    "missing module": ("import not_there_at_all", "", "ModuleNotFoundError", "not_there_at_all"),
    "no tools": ("x = 1", "", "DefinitionError", "has no tools"),
    "twice": (
        "from snakepit import tool\n@tool\ndef a(): ...\n@tool\ndef a(): ...",
        "",
        "DefinitionError",
        "two tools are named 'a'",
    ),
    "bad name": (
        "from snakepit import tool\n@tool(name='a b')\ndef a(): ...",
        "",
        "DefinitionError",
        "tool name 'a b'",
    ),
    "no file": ("", "/nowhere/gone.py", "DefinitionError", "there is no file"),
    "no class": ("x = 1", "{file}:Gone", "DefinitionError", "has no 'Gone'"),
    "setup raises": (
        """
        from snakepit import Adapter, tool
        class A(Adapter):
            def setup(self): raise OSError("no disk")
            @tool
            def a(self): ...
        """,
        "",
        "OSError",
        "no disk",
    ),
}


@pytest.mark.parametrize("what", list(BROKEN))
def test_adapter_that_cannot_start_says_so_and_ends(
    start: Start, tmp_path: Path, what: str
) -> None:
    source, target, type_, says = BROKEN[what]
    worker = start(source, target=target.format(file=tmp_path / "tools.py"))
    code, e = failure_of(worker.describe)
    assert code == grpc.StatusCode.UNAVAILABLE
    assert e.reason == "start_failed"
    x: Any = e.exception
    assert x.type.rsplit(".", 1)[-1] == type_
    said = e.message + x.traceback
    assert says in said or what == "raises"
    assert "_adapter.py" not in x.traceback
    assert worker.process.wait(PATIENCE) == 1
    assert says in worker.stderr() or what == "raises"
    assert not [p for p in tmp_path.iterdir() if p.is_socket()]


def test_adapter_that_cannot_start_ends_unasked(start: Start) -> None:
    assert start("raise ValueError").process.wait(PATIENCE) == 1


# Calls over gRPC, as any go-plugin host makes them.


def test_calls_need_neither_attach_nor_lane(start: Start) -> None:
    worker = start()
    assert worker.call("echo", value=[1, "a", None]) == [1, "a", None]
    assert worker.call("count", n=3) == [0, 1, 2]
    assert len(worker.call("blob", size=5 << 20)) == 5 << 20


def test_json_goes_in_and_out(start: Start) -> None:
    request = worker_pb2.WorkerCallRequest(
        tool="echo", payload=b'{"value": {"a": [1.5, null]}}', content_type="application/json"
    )
    worker = start()
    assert json.loads(worker.stub.Call(request).payload) == {"a": [1.5, None]}
    odd = worker_pb2.WorkerCallRequest(tool="odd", content_type="application/json")
    assert "$marker" in json.loads(worker.stub.Call(odd).payload)
    unknown = worker_pb2.WorkerCallRequest(tool="echo", content_type="text/xml")
    code, e = failure_of(lambda: worker.stub.Call(unknown))
    assert (code, e.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_arguments")


def test_stream_gives_chunks_and_of_other_tools_the_result(start: Start) -> None:
    worker = start()
    request = worker_pb2.WorkerStreamRequest(
        tool="count", payload=b'{"n": 1000}', content_type="application/json"
    )
    assert [int(r.payload) for r in worker.stub.Stream(request)] == list(range(1000))
    request.tool, request.payload = "echo", b'{"value": 7}'
    assert [int(r.payload) for r in worker.stub.Stream(request)] == [7]


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "reason"),
    [
        ("ehco", {}, "NOT_FOUND", "tool_not_found"),
        ("", {}, "INVALID_ARGUMENT", "invalid_tool_name"),
        ("x" * 10_000, {}, "INVALID_ARGUMENT", "invalid_tool_name"),
        ("count", {}, "INVALID_ARGUMENT", "invalid_arguments"),
        ("fail", {"kind": "x"}, "UNKNOWN", "python_exception"),
        ("fail", {"kind": "exit"}, "UNKNOWN", "python_exception"),
        ("ask", {"name": "nobody"}, "ABORTED", "host_unreachable"),
    ],
)
def test_failure_is_a_status_with_our_error_in_it(
    start: Start, tool: str, arguments: dict[str, Any], code: str, reason: str
) -> None:
    worker = start()
    got, e = failure_of(lambda: worker.call(tool, **arguments))
    assert (got.name, e.reason) == (code, reason)
    assert worker.call("echo", value="alive") == "alive"


@pytest.mark.parametrize("tool", ["spin", "sleep"])
def test_deadline_of_a_call_stops_its_tool(start: Start, tool: str) -> None:
    worker = start()
    worker.describe()
    arguments = {"seconds": 60} if tool == "sleep" else {}
    with pytest.raises(grpc.RpcError) as caught:
        worker.call(tool, timeout=0.3, **arguments)
    status: Any = caught.value
    assert status.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED)
    assert worker.call("echo", value="free") == "free"


def test_caller_that_goes_away_stops_its_tool(start: Start) -> None:
    worker = start()
    with LaneHost(*address_and_token(worker)) as host:
        running = worker.stub.Call.future(worker_pb2.WorkerCallRequest(tool="spin"))
        host.wait_until_busy()
        running.cancel()
        assert worker.call("echo", value="free") == "free"


def address_and_token(worker: WorkerProcess) -> tuple[str, bytes]:
    attached = worker.attach()
    return attached.lane_address, attached.lane_token


def test_strict_results_are_the_hosts_choice(start: Start) -> None:
    worker = start()
    assert type(worker.call("odd")).__name__ == "Marker"
    worker.attach(strict_results=True)
    code, e = failure_of(lambda: worker.call("odd"))
    assert (code.name, e.reason, e.path) == ("INVALID_ARGUMENT", "invalid_result", "$")


def test_lower_incarnation_is_fenced(start: Start) -> None:
    worker = start()
    first = worker.attach(incarnation=5)
    assert worker.attach(incarnation=5).lane_token != first.lane_token
    assert worker.attach(incarnation=6).lane_address == first.lane_address
    code, e = failure_of(lambda: worker.attach(incarnation=5))
    assert (code.name, e.reason) == ("FAILED_PRECONDITION", "fenced")


def test_newer_host_ends_the_older_ones_lane(start: Start) -> None:
    worker = start()
    with worker.lane() as host:
        worker.attach(incarnation=2)
        assert host.has_ended()


def test_drain_waits_for_what_runs_and_takes_nothing_new(start: Start) -> None:
    worker = start()
    with worker.lane() as host:
        number = host.open("sleep", {"seconds": 0.3})
        host.wait_until_busy()
        worker.stub.Drain(worker_pb2.DrainRequest(), timeout=PATIENCE)
        assert not host.end(number).HasField("error")
        assert host.error("echo").reason == "draining"
    code, e = failure_of(lambda: worker.call("echo"))
    assert (code.name, e.reason) == ("UNAVAILABLE", "draining")


# The process.


@pytest.mark.parametrize("slots", ["1", "4"])
def test_term_closes_the_adapter_and_ends_the_process(
    start: Start, tmp_path: Path, slots: str
) -> None:
    closed = tmp_path / "closed"
    worker = start(CLOSED_AT=str(closed), SLOTS=slots)
    with worker.lane() as host:
        host.open("spin")
        host.wait_until_busy()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(PATIENCE) == 0
    assert closed.read_text() == "closed"
    assert not [p for p in tmp_path.iterdir() if p.is_socket()]


def test_interrupt_from_a_terminal_is_the_hosts_business(start: Start) -> None:
    worker = start()
    assert worker.call("echo", value=1) == 1
    worker.process.send_signal(signal.SIGINT)
    assert worker.call("echo", value=2) == 2


def test_files_are_for_this_user_alone(start: Start, tmp_path: Path) -> None:
    worker = start()
    assert worker.call("umask") == 0o077
    (lane,) = tmp_path.glob("plugin*/lane*")
    assert lane.stat().st_mode & 0o077 == 0


def test_forked_child_that_comes_back_ends_there(start: Start) -> None:
    worker = start()
    with worker.lane() as host:
        assert host.call("fork") == 0
        assert host.call("echo", value="one answer") == "one answer"


def test_processes_that_a_tool_starts_do_not_hold_the_lane(start: Start) -> None:
    worker = start()
    with worker.lane() as host:
        child = host.call("fork_and_hold")
        worker.process.kill()
        assert host.has_ended()
        os.kill(child, signal.SIGKILL)


def test_multiprocessing_works_in_a_tool(start: Start) -> None:
    with start().lane() as host:
        assert host.call("pool") == [1, 2]
        assert host.call("echo", value=1) == 1


def test_logger_writes_lines_that_hosts_read(start: Start) -> None:
    worker = start()
    worker.call("log")
    lines = [json.loads(x) for x in worker.stderr().splitlines() if x.startswith("{")]
    (line,) = [x for x in lines if x["@message"] == "careful"]
    assert (line["@level"], line["tool"]) == ("warn", "log")


def test_adapter_may_be_run_from_a_string_of_source(tmp_path: Path) -> None:
    """As hosts start it, by an interpreter that hasn't checked its version yet."""
    path = tmp_path / "a.py"
    path.write_text(textwrap.dedent("from snakepit import tool\n@tool\ndef a(): ..."))
    code = 'import runpy;runpy.run_module("snakepit",run_name="__main__",alter_sys=True)'
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, str(path)],
        env={k: v for k, v in os.environ.items() if k not in COOKIE},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "Snakepit worker" in done.stderr
