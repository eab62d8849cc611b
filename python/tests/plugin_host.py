"""A go-plugin host for test_plugin.py: it starts a plugin and talks to it, as go-plugin does."""

from __future__ import annotations

import os
import queue
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from snakepit.goplugin import broker_pb2, broker_pb2_grpc, controller_pb2, controller_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHILD = Path(__file__).with_name("plugin_child.py")

# How long anything may take before a test gives up on it, in seconds.
PATIENCE = 30.0


class Process:
    """A plugin's process, whose standard error is collected."""

    def __init__(self, *args: str, env: Mapping[str, str] | None = None, **options: Any) -> None:
        full = {k: v for k, v in os.environ.items() if not k.startswith(("PLUGIN_", "PYTHON"))}
        full |= {"TEST_PLUGIN": "yes", "PLUGIN_PROTOCOL_VERSIONS": "3"}
        self.popen = subprocess.Popen(  # noqa: S603
            [sys.executable, str(CHILD), *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={k: v for k, v in (full | dict(env or {})).items() if v},
            **options,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self._lines.put(line.decode().rstrip("\n"))

    def handshake(self) -> str:
        """Returns the first line of standard output, without its newline."""
        assert self.popen.stdout is not None
        line: bytes = self.popen.stdout.readline()
        return line.decode().rstrip("\n")

    def rest_of_stdout(self) -> bytes:
        """Returns what follows on standard output, to its end."""
        assert self.popen.stdout is not None
        rest: bytes = self.popen.stdout.read()
        return rest

    def hear(self, text: str) -> str:
        """Waits for a line of standard error that contains the text."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            self.said.append(line)
            if text in line:
                return line

    def wait(self) -> int:
        """Waits for the end, and returns the status."""
        status = self.popen.wait(PATIENCE)
        self._reader.join(PATIENCE)
        while not self._lines.empty():
            self.said.append(self._lines.get())
        return status

    def close(self) -> None:
        """Makes sure that it has ended."""
        self.popen.terminate()  # not kill: it would leave its socket behind
        try:
            self.popen.wait(PATIENCE)
        finally:
            self.popen.kill()
        self._reader.join(PATIENCE)
        for pipe in (self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()


class Host:
    """A host's connection to a plugin."""

    def __init__(
        self, line: str, credentials: tuple[grpc.ChannelCredentials, str] | None = None
    ) -> None:
        self.fields = line.split("|")
        _, _, network, address, *_ = self.fields
        target = f"unix:{address}" if network == "unix" else address
        options: list[tuple[str, Any]] = [("grpc.max_receive_message_length", -1)]
        if credentials is None:
            self.channel = grpc.insecure_channel(target, options)
        else:
            options.append(("grpc.ssl_target_name_override", "localhost"))
            self.channel = grpc.secure_channel(target, credentials[0], options)

    def call(self, method: str, request: bytes = b"") -> bytes:
        """Calls one of the child's methods."""
        return call(self.channel, f"/test.Echo/{method}", request)

    def shutdown(self) -> None:
        """Says Shutdown, and needs an answer."""
        stub: Any = controller_pb2_grpc.GRPCControllerStub(self.channel)  # type: ignore[no-untyped-call]
        stub.Shutdown(controller_pb2.Empty(), timeout=PATIENCE)

    def close(self) -> None:
        self.channel.close()


def call(channel: grpc.Channel, method: str, request: bytes) -> bytes:
    """Calls a method of bytes."""
    unary: Any = channel.unary_unary
    invoke = unary(method)
    answer: bytes = invoke(request, timeout=PATIENCE, wait_for_ready=True)
    return answer


class BrokerStream:
    """The host's side of the broker: the stream of addresses."""

    def __init__(self, host: Host) -> None:
        self._out: queue.Queue[broker_pb2.ConnInfo | None] = queue.Queue()
        stub: Any = broker_pb2_grpc.GRPCBrokerStub(host.channel)  # type: ignore[no-untyped-call]
        self._stream: Any = stub.StartStream(self._requests())

    def _requests(self) -> Iterator[broker_pb2.ConnInfo]:
        while (info := self._out.get()) is not None:
            yield info

    def announce(self, number: int, network: str, address: str) -> None:
        """Tells the plugin where the host serves."""
        info = broker_pb2.ConnInfo(service_id=number, network=network, address=address)
        self._out.put(info)

    def next(self) -> broker_pb2.ConnInfo:
        """Waits for the plugin to tell where it serves."""
        info: broker_pb2.ConnInfo = next(self._stream)
        return info

    def close(self) -> None:
        self._out.put(None)
        self._stream.cancel()


def start_time(pid: int) -> str:
    """Tells two processes of one number apart; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return stat[stat.rindex(")") :].split()[20]


class Pidfd:
    """A process that isn't our child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def ended_after(self) -> float:
        """Waits for its end, and returns how long that took, in seconds."""
        began = time.monotonic()
        ready, _, _ = select.select([self._fd], [], [], PATIENCE)
        if not ready:
            message = f"process {self.pid} still runs"
            raise TimeoutError(message)
        return time.monotonic() - began

    def close(self) -> None:
        os.close(self._fd)
