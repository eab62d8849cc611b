"""What tools print when nobody reads it: the reader of standard error is gone, or never was."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from snakepit.v1 import lane_pb2
from worker_host import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

Start = Callable[..., WorkerProcess]

TOOLS = """
import faulthandler, logging, os, subprocess, sys, threading, traceback, warnings
from snakepit import Adapter, Context, tool

early = logging.StreamHandler()

class Tools(Adapter):
    slots = int(os.environ.get("SLOTS", "1"))

    @tool
    def chatter(self, ctx: Context) -> str:
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            print("a line", file=stream, flush=True)
            print("x" * 200_000, file=stream)
            stream.write("no end of line")
            stream.flush()
            stream.buffer.write(b"bytes")
            stream.buffer.flush()
        print("\\udc80")
        ctx.logger.warning("careful")
        logging.getLogger("other").error("%d", "no number")  # logging complains about itself
        early.handle(logging.makeLogRecord({"msg": "through a handler of one's own"}))
        warnings.warn("odd")
        try:
            raise ValueError("shown")
        except ValueError:
            traceback.print_exc()
        faulthandler.dump_traceback()
        thread = threading.Thread(target=lambda: 1 / 0)  # its traceback is printed
        thread.start()
        thread.join()
        if os.environ.get("CHILDREN"):  # which have SIGPIPE's default
            subprocess.run(["sh", "-c", "echo a; echo b >&2"], check=True)
        return "done"

    @tool
    def same(self) -> bool:
        return os.path.samestat(os.fstat(1), os.fstat(2))
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(**options: str) -> WorkerProcess:
            return stack.enter_context(WorkerProcess(tmp_path, TOOLS, **options))

        yield begin


# What starts the worker: it gives it a standard error, in the place of the one that it has.
CLOSED_PIPE = """
import os, sys
reader, writer = os.pipe()
os.dup2(writer, 2)
os.close(writer)
os.close(reader)
os.execv(sys.argv[1], sys.argv[1:])
"""
FULL_DISK = """
import os, sys
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
os.execv(sys.argv[1], sys.argv[1:])
"""
NONE = """
import os, sys
os.close(2)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("slots", ["1", "4"])
@pytest.mark.parametrize(
    "code", [CLOSED_PIPE, FULL_DISK, NONE], ids=["closed pipe", "full disk", "none"]
)
def test_printing_to_nobody_breaks_no_tool(start: Start, code: str, slots: str) -> None:
    worker = start(
        by=shlex.join((sys.executable, "-c", code)),
        SLOTS=slots,
        CHILDREN="" if code is FULL_DISK else "yes",
    )
    with worker.lane() as host:
        assert host.call("chatter") == "done"
        assert host.call("chatter") == "done"
        assert host.call("same")
    with worker.lane() as host:
        host.send(lane_pb2.Frame(call_id=2, call=lane_pb2.Call(tool="not the host's number")))
        assert host.has_ended()  # and the worker has complained
    assert worker.call("chatter") == "done"


def test_reader_that_goes_away_while_a_tool_prints_breaks_nothing(tmp_path: Path) -> None:
    fifo = tmp_path / "err"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    shell = f"sh -c 'exec \"$@\" 2>{fifo}' sh"
    with WorkerProcess(tmp_path, TOOLS, by=shell) as worker, worker.lane() as host:
        number = host.open("chatter")
        os.set_blocking(reader, True)
        assert os.read(reader, 6) == b"a line"
        os.close(reader)
        assert not host.end(number).HasField("error")
        assert host.call("chatter") == "done"
