"""A host for one worker, small enough to be seen through: what the worker's tests talk to."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import textwrap
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import grpc

from snakepit import _values
from snakepit.v1 import lane_pb2, worker_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COOKIE = {"SNAKEPIT_PLUGIN": "0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54"}
PATIENCE = 30.0  # seconds after which anything counts as stuck
WINDOW = 4 << 20

_worker_grpc: Any = import_module("snakepit.v1.worker_pb2_grpc")


class WorkerProcess:
    """A worker that serves the given source."""

    def __init__(
        self, folder: Path, source: str, *, target: str = "", by: str = "", **env: str
    ) -> None:
        file = folder / "tools.py"
        file.write_text(textwrap.dedent(source))
        self._stderr = folder / "stderr"
        self._stderr.touch()
        ours = {"PLUGIN_PROTOCOL_VERSIONS": "1", "TMPDIR": str(folder)}
        with self._stderr.open("r+b") as stderr:
            self.process = subprocess.Popen(  # noqa: S603
                [*shlex.split(by), sys.executable, "-m", "snakepit", target or str(file)],
                env=os.environ | COOKIE | ours | env,
                stdout=subprocess.PIPE,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
            )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().decode().strip()
        self.address = self.line.split("|")[3] if self.line.count("|") >= 4 else ""
        options = [("grpc.max_receive_message_length", -1)]
        self.channel = grpc.insecure_channel(f"unix:{self.address}", options)
        self.stub: Any = _worker_grpc.WorkerStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self.process.kill()
        self.process.wait(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def stderr(self) -> str:
        return self._stderr.read_text()

    def describe(self) -> worker_pb2.DescribeResponse:
        described: worker_pb2.DescribeResponse = self.stub.Describe(
            worker_pb2.DescribeRequest(), timeout=PATIENCE
        )
        return described

    def attach(
        self, incarnation: int = 1, *, host: str = "test", **settings: Any
    ) -> worker_pb2.AttachResponse:
        request = worker_pb2.AttachRequest(
            host=host,
            incarnation=incarnation,
            settings=worker_pb2.WorkerSettings(**settings),
        )
        attached: worker_pb2.AttachResponse = self.stub.Attach(request, timeout=PATIENCE)
        return attached

    def call(self, tool: str, /, timeout: float = PATIENCE, **arguments: object) -> Any:
        """Calls over gRPC, without a lane."""
        request = worker_pb2.WorkerCallRequest(tool=tool, payload=_values.encode(arguments))
        return _values.decode(self.stub.Call(request, timeout=timeout).payload)

    def lane(self, incarnation: int = 1) -> LaneHost:
        attached = self.attach(incarnation)
        return LaneHost(attached.lane_address, attached.lane_token)


class LaneHost:
    """The host's side of a lane on a Unix socket, one frame at a time."""

    def __init__(self, address: str, token: bytes, **limits: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self._read = bytearray()
        self._next = 1
        self._owed = 0
        self.reports: list[lane_pb2.Progress] = []
        try:
            self.send(lane_pb2.Frame(hello=hello(token, **limits)))
            self.hello = self.receive().hello
        except (EOFError, OSError):
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *frames: lane_pb2.Frame) -> None:
        data = b""
        for f in frames:
            encoded = f.SerializeToString()
            data += len(encoded).to_bytes(4) + encoded
        self.socket.sendall(data)

    def receive(self) -> lane_pb2.Frame:
        """Reads a frame, and gives the lane's credit back."""
        size = int.from_bytes(self._take(4))
        frame = lane_pb2.Frame.FromString(self._take(size))
        payload = frame.data.payload or frame.end.payload or frame.call.payload
        if payload or frame.HasField("data") or frame.HasField("call"):
            self._owed += 64 + len(payload)
            if self._owed > WINDOW // 4:
                self.send(lane_pb2.Frame(credit=lane_pb2.Credit(bytes=self._owed)))
                self._owed = 0
        return frame

    def _take(self, size: int) -> bytes:
        while len(self._read) < size:
            part = self.socket.recv(1 << 20)
            if not part:
                raise EOFError
            self._read += part
        taken = bytes(self._read[:size])
        del self._read[:size]
        return taken

    def open(self, tool: str, /, arguments: object = None, **fields: Any) -> int:
        """Opens a call and gives its number."""
        number = self._next
        self._next += 2
        payload = _values.encode({} if arguments is None else arguments)
        call = lane_pb2.Call(tool=tool, payload=payload, **fields)
        self.send(lane_pb2.Frame(call_id=number, call=call))
        return number

    def end(self, number: int) -> lane_pb2.End:
        """Reads until a call's end, over what else comes."""
        payload = bytearray()
        while True:
            frame = self.receive()
            if frame.HasField("progress"):
                self.reports.append(frame.progress)
            if frame.call_id != number or not frame.HasField("end"):
                continue
            payload += frame.end.payload
            if frame.more:
                size = 64 + len(frame.end.payload)
                self.give(number, size)
                continue
            frame.end.payload = bytes(payload)
            return frame.end

    def call(self, tool: str, /, **arguments: object) -> Any:
        end = self.end(self.open(tool, arguments))
        assert not end.HasField("error"), end.error
        return _values.decode(end.payload)

    def error(self, tool: str, /, **arguments: object) -> Any:
        end = self.end(self.open(tool, arguments))
        assert end.HasField("error"), end
        return end.error

    def chunks(self, number: int) -> Iterator[Any]:
        while True:
            frame = self.receive()
            if frame.call_id == number and frame.HasField("data"):
                self.give(number, 64 + len(frame.data.payload))
                yield _values.decode(frame.data.payload)
            elif frame.call_id == number and frame.HasField("end"):
                assert not frame.end.HasField("error"), frame.end.error
                return

    def give(self, number: int, size: int) -> None:
        self.send(lane_pb2.Frame(call_id=number, credit=lane_pb2.Credit(bytes=size)))

    def cancel(self, number: int, reason: str = "cancelled") -> None:
        self.send(lane_pb2.Frame(call_id=number, cancel=lane_pb2.Cancel(reason=reason)))

    def ping(self) -> int:
        """Gives how long the worker has been busy, in microseconds."""
        self.send(lane_pb2.Frame(ping=lane_pb2.Ping(nonce=7)))
        while True:
            frame = self.receive()
            if frame.HasField("pong"):
                assert frame.pong.nonce == 7
                return frame.pong.busy_us

    def wait_until_busy(self) -> None:
        while not self.ping():
            pass

    def has_ended(self) -> bool:
        """Waits for the end of the lane."""
        with suppress(EOFError, ConnectionError):
            while True:
                self.receive()
        return True


def hello(token: bytes, **limits: int) -> lane_pb2.Hello:
    most: dict[str, int] = {
        "max_frame": 256 << 10,
        "max_payload": 256 << 20,
        "call_window": 1 << 20,
        "lane_window": WINDOW,
        "max_calls": 1024,
    }
    made = lane_pb2.Hello(version_min=1, version_max=1, token=token)
    for name, value in (most | limits).items():
        setattr(made, name, value)
    return made
