"""Hosts that die: a process that forks one host after the other, and kills each on request.

Every line of standard input is an order as JSON; every line of standard output is the answer. The
host is a process of its own, so its end is what the kernel makes of a SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.protobuf import empty_pb2
from typing_extensions import override

from snakepit import _values
from snakepit.goplugin import broker_pb2_grpc, stdio_pb2_grpc
from snakepit.v1 import lane_pb2, worker_pb2
from worker_host import PATIENCE, LaneHost, hello

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


class StreamHost(LaneHost):
    """The host's side of a lane over gRPC."""

    def __init__(self, stub: Any, token: bytes, **limits: int) -> None:
        self._requests: SimpleQueue[worker_pb2.LaneRequest | None] = SimpleQueue()
        self._frames: list[lane_pb2.Frame] = []
        self._owed = 0
        self._next = 1
        self.reports = []
        self._stream: Any = stub.Lane(iter(self._requests.get, None))
        self.send(lane_pb2.Frame(hello=hello(token, **limits)))
        self.hello = self.receive().hello

    @override
    def __exit__(self, *_: object) -> None:
        self._requests.put(None)
        self._stream.cancel()

    @override
    def send(self, *frames: lane_pb2.Frame) -> None:
        self._requests.put(worker_pb2.LaneRequest(frames=frames))

    @override
    def receive(self) -> lane_pb2.Frame:
        while not self._frames:
            try:
                self._frames = list(next(self._stream).frames)
            except (StopIteration, grpc.RpcError) as e:
                raise EOFError from e
        return self._frames.pop(0)


class LostHosts:
    """Starts hosts for a worker, one after the other, and kills them."""

    def __init__(self, address: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, __file__, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def attach(
        self,
        incarnation: int = 1,
        *,
        carrier: str = "local",
        calls: Sequence[tuple[str, dict[str, Any]]] = (),
        rpc: str = "",
        until: str = "",
        fields: Mapping[str, bool] | None = None,
    ) -> list[Any]:
        """Starts a host that attaches and calls.

        Args:
            incarnation: its own.
            carrier: local or grpc.
            calls: what to call over the lane.
            rpc: a tool to call over gRPC as well.
            until: what to wait for: "answers" of all calls, as many progress "reports" as there are
                calls, the worker being "busy", or a "frame" of any kind.
            fields: further ones of each call.

        Returns:
            The answers, if they were waited for.
        """
        order = {
            "incarnation": incarnation,
            "carrier": carrier,
            "calls": calls,
            "rpc": rpc,
            "until": until,
            "fields": fields or {},
        }
        answers: list[Any] = self._ask(order)
        return answers

    def kill(self) -> float:
        """Kills the host, and returns when that was, on the monotonic clock."""
        killed: float = self._ask("kill")
        return killed

    def _ask(self, order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the host has failed; standard error says why"
        return json.loads(answer)


def say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def host(address: str, order: dict[str, Any]) -> None:
    """Is a host, from its first connection on, and never lets go of anything."""
    channel = grpc.insecure_channel(f"unix:{address}")
    worker_grpc: Any = import_module("snakepit.v1.worker_pb2_grpc")
    stub = worker_grpc.WorkerStub(channel)
    broker: Any = broker_pb2_grpc.GRPCBrokerStub(channel)  # type: ignore[no-untyped-call]
    stdio: Any = stdio_pb2_grpc.GRPCStdioStub(channel)  # type: ignore[no-untyped-call]
    held = [broker.StartStream(iter(SimpleQueue().get, None)), stdio.StreamStdio(empty_pb2.Empty())]
    stub.Describe(worker_pb2.DescribeRequest(), timeout=PATIENCE)
    request = worker_pb2.AttachRequest(host="lost", incarnation=order["incarnation"])
    attached = stub.Attach(request, timeout=PATIENCE)
    lane: LaneHost
    if order["carrier"] == "grpc":
        lane = StreamHost(stub, attached.lane_token)
    else:
        lane = LaneHost(attached.lane_address, attached.lane_token)
    if order["rpc"]:
        held.append(stub.Call.future(worker_pb2.WorkerCallRequest(tool=order["rpc"])))
    numbers = [lane.open(tool, given, **order["fields"]) for tool, given in order["calls"]]
    waits: dict[str, Callable[[], Any]] = {
        "": lambda: None,
        "busy": lane.wait_until_busy,
        "frame": lane.receive,
        "reports": lambda: wait_for_reports(lane, len(numbers)),
        "answers": lambda: [_values.decode(lane.end(n).payload) for n in numbers],
    }
    answers = waits[order["until"]]()
    say(answers if order["until"] == "answers" else [])
    while held:
        signal.pause()


def wait_for_reports(lane: LaneHost, count: int) -> None:
    while count:
        count -= lane.receive().HasField("progress")


def orders() -> Iterator[Any]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    child = 0
    for order in orders():
        if order == "kill":
            killed = time.monotonic()
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            child = 0
            say(killed)
            continue
        child = os.fork()
        if not child:
            try:
                host(sys.argv[1], order)
            finally:
                os._exit(1)
    if child:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
