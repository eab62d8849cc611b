"""The worker: one process that serves one adapter as a go-plugin plugin."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import secrets
import signal
import socket
import struct
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from google.protobuf.message import DecodeError

from snakepit import _adapter, _log, _wire, errors
from snakepit._carrier import LocalCarrier, LocalReader
from snakepit._dispatch import Dispatcher, PoolRunner
from snakepit._lane import Lane
from snakepit._limits import LaneError, limits_of
from snakepit._service import STALE, Host, WorkerService, complain
from snakepit._stage import MainStage
from snakepit._tool import DefinitionError
from snakepit.plugin import Handshake, Plugin, PluginError
from snakepit.v1 import lane_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc.aio

    from snakepit.plugin import RunningPlugin

HANDSHAKE: Final = Handshake("SNAKEPIT_PLUGIN", "0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54")
PROTOCOL_VERSION: Final = 1

BY_HAND: Final = """\
This is a Snakepit worker: a host starts it and calls its tools. By hand, try

  snakepit call --adapter {target} TOOL name=value   a call, on a host of its own
  snakepit serve --adapter {target}                  a host, for many calls
  python -m snakepit --describe {target}             what it offers

and in tests, snakepit.testing.Harness.
"""

# How long a host that never asks is waited for when the adapter can't start, in seconds, and how
# long the answer may take to get out.
_UNASKED: Final = 5.0
_ANSWER: Final = 0.1
# How long a tool that runs and the adapter's close may take in the end; the kit ends it anyway.
_CLOSING: Final = 1.0
# How long a host may take to say hello.
_HELLO: Final = 5.0
_MAX_HELLO: Final = 64 << 10
# Of -1000 to 1000: what the kernel adds, in thousandths of the memory, to what a process uses.
_OOM_SCORE: Final = 500


def serve(target: str, load: Callable[[], _adapter.Toolbox] | None = None) -> NoReturn:
    """Serves an adapter until the process ends.

    Args:
        target: FILE.py, FILE.py:Class, MODULE or MODULE:Class.
        load: gives its tools, in a process that was forked; None imports it.

    Raises:
        SystemExit: it can't be served; standard error has been told.
    """
    if load is None:  # else whoever forked us has done so
        os.umask(0o077)
        volunteer()
    service = WorkerService(Host())
    plugin = Plugin(
        HANDSHAKE,
        {PROTOCOL_VERSION: lambda server: _register(service, server)},
        not_by_hand=BY_HAND.format(target=target),
    )
    try:
        running = plugin.start()
    except PluginError as e:
        sys.stderr.write(f"snakepit: {e}\n")
        raise SystemExit(1) from e
    _Worker(plugin, running, service).run(target, load or (lambda: _adapter.load(target)))


def prepare() -> None:
    """Imports what serve would import later."""
    for name in ("snakepit.v1.worker_pb2_grpc", "snakepit.plugin._plugin"):
        import_module(name)


def volunteer() -> None:
    """Has the kernel, out of memory, end this process and its children before any host."""
    score = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):  # no such file, or not allowed
        if int(score.read_text()) < _OOM_SCORE:
            score.write_text(str(_OOM_SCORE))


def _register(service: WorkerService, server: grpc.aio.Server) -> None:
    generated: Any = import_module("snakepit.v1.worker_pb2_grpc")
    generated.add_WorkerServicer_to_server(service, server)


class _Worker:
    def __init__(self, plugin: Plugin, running: RunningPlugin, service: WorkerService) -> None:
        self._plugin = plugin
        self._running = running
        self._service = service
        self._stage = MainStage()
        self._dispatcher: Dispatcher | None = None
        self._door: LaneDoor | None = None
        self._closed = threading.Event()
        _ignore(signal.SIGINT)
        with contextlib.suppress(RuntimeError, ValueError, AttributeError):
            faulthandler.enable()
        _log.install()

    def run(self, target: str, load: Callable[[], _adapter.Toolbox]) -> NoReturn:
        self._running.on_shutdown(self._shut_down)
        try:
            toolbox = load()
            toolbox.setup()
        except BaseException as e:  # noqa: BLE001  sys.exit in an adapter too
            self._give_up(target, e)
        self._open(toolbox)
        self._stage.run()
        try:
            toolbox.close()
        except BaseException as e:  # noqa: BLE001
            sys.stderr.write(_wire.describe(e).traceback)
        self._closed.set()
        self._running.wait()
        raise SystemExit(1)  # it never returns

    def _open(self, toolbox: _adapter.Toolbox) -> None:
        if toolbox.slots == 1:
            dispatcher = Dispatcher(toolbox, self._stage)
        else:
            pool = PoolRunner(toolbox.slots)
            dispatcher = pool.dispatcher = Dispatcher(toolbox, pool)
        dispatcher.on_change = self._stage.rouse
        self._stage.dispatcher = self._dispatcher = dispatcher
        loop = self._running.loop
        door = LaneDoor(self._service.host, dispatcher, self._stage)
        if door.listen_beside(self._running.address):
            self._door = door
            self._plugin.sockets.addresses.add(door.address)
            self._service.lane_address = door.address
            asyncio.run_coroutine_threadsafe(door.accept(), loop)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._abandon)
        self._service.settle(loop, dispatcher)

    def _abandon(self) -> None:
        """Lets go, in a forked child, of what the worker's threads read and write."""
        with contextlib.suppress(OSError):
            self._stage.abandon()
        if self._door is not None:
            self._door.abandon()

    def _shut_down(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.stop_all("cancelled")
            self._stage.stop()
            self._closed.wait(_CLOSING)
        if self._door is not None:
            self._door.remove()

    def _give_up(self, target: str, e: BaseException) -> NoReturn:
        failure = start_failure(target, e)
        shown = failure.exception.traceback if failure.exception is not None else ""
        sys.stderr.write(f"{shown}snakepit: {failure.message}\n")
        self._service.fail(self._running.loop, failure)
        if self._service.told.wait(_UNASKED):
            threading.Event().wait(_ANSWER)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self._plugin.sockets.remove()
        os._exit(1)


def _ignore(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)


def start_failure(target: str, e: BaseException) -> errors.StartFailedError:
    """Makes the error of an adapter that couldn't be set up."""
    described = _wire.describe(e)
    if isinstance(e, DefinitionError):
        message = f"adapter {target}: {e}"
    elif isinstance(e, SystemExit):
        message = f"adapter {target} called sys.exit({e.code!r}) while it was set up"
    else:
        message = f"adapter {target} can't be set up: {described.type}: {described.message}"
    return errors.StartFailedError(_wire.cut(message, 4096), hint=_hint(e), exception=described)


def _hint(e: BaseException) -> str:
    if isinstance(e, ModuleNotFoundError) and e.name:
        package = e.name.split(".")[0]
        return f"is {package} installed for {sys.executable}?"
    return ""


class LaneDoor:
    """Listens for the local carrier, beside the gRPC socket, on the plugin's loop."""

    def __init__(self, host: Host, dispatcher: Dispatcher, stage: MainStage) -> None:
        """Listens to nobody yet.

        Args:
            host: whose token opens.
            dispatcher: runs the calls.
            stage: reads the lane.
        """
        self.address = ""
        self._host = host
        self._dispatcher = dispatcher
        self._stage = stage
        self._listener: socket.socket | None = None
        self._carrier: LocalCarrier | None = None

    def listen_beside(self, address: str) -> bool:
        """Listens in the same folder; False where there can't be a local carrier."""
        if not address.startswith("/") or not hasattr(socket, "AF_UNIX"):
            return False
        path = Path(address).parent / f"lane{secrets.token_hex(4)}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            listener.listen(8)
        except OSError as e:
            listener.close()
            sys.stderr.write(f"snakepit: no local lane at {path}: {e}\n")
            return False
        listener.setblocking(False)
        self._listener, self.address = listener, str(path)
        return True

    async def accept(self) -> None:
        """Takes connections, one after the other."""
        loop = asyncio.get_running_loop()
        assert self._listener is not None  # noqa: S101  listening came first
        greeting: set[asyncio.Task[None]] = set()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._listener)
            except OSError as e:
                complain(e)
                await asyncio.sleep(1)  # out of descriptors, maybe
                continue
            task = loop.create_task(self._greet(loop, sock))
            greeting.add(task)
            task.add_done_callback(greeting.discard)

    async def _greet(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(_HELLO):
                await self._open(loop, sock)
        except (LaneError, DecodeError, OSError, EOFError) as e:  # TimeoutError is an OSError
            complain(e)
            sock.close()

    async def _open(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        if (uid := _peer(sock)) not in (None, 0, os.getuid()):
            msg = f"user {uid} isn't ours"
            raise LaneError(msg)
        size = int.from_bytes(await _receive(loop, sock, 4))
        if size > _MAX_HELLO:
            msg = f"a hello of {size} bytes"
            raise LaneError(msg)
        frame = lane_pb2.Frame.FromString(await _receive(loop, sock, size))
        if not frame.HasField("hello"):
            raise LaneError("a first frame that is no hello")
        if not self._host.admits(frame.hello):
            raise LaneError(STALE)
        theirs, ours = limits_of(frame.hello), self._host.limits
        answer = lane_pb2.Frame(hello=ours.hello()).SerializeToString()
        await loop.sock_sendall(sock, len(answer).to_bytes(4) + answer)
        carrier = LocalCarrier(sock, ours.max_frame)
        carrier.on_broken = complain
        carrier.lane = Lane(carrier, self._dispatcher, ours, theirs)
        if not self._host.adopt(carrier.lane, frame.hello):
            raise LaneError(STALE)  # while it was greeted
        self._carrier = carrier
        self._stage.attach(LocalReader(carrier))

    def remove(self) -> None:
        """Removes the socket's name."""
        with contextlib.suppress(OSError):
            Path(self.address).unlink()

    def abandon(self) -> None:
        """Closes a forked child's copies of the descriptors, also where /proc doesn't list them."""
        if self._carrier is not None:
            self._carrier.abandon()
        if self._listener is not None:
            self._listener.close()


async def _receive(loop: asyncio.AbstractEventLoop, sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await loop.sock_recv(sock, size - len(data))
        if not part:
            raise EOFError("it was closed in the middle of a hello")
        data += part
    return data


def _peer(sock: socket.socket) -> int | None:
    """Gives the user at the other end; None where that can't be known."""
    credentials: int | None = getattr(socket, "SO_PEERCRED", None)
    if credentials is not None:
        _pid, uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, credentials, 12))
        return int(uid)
    if sys.platform == "darwin":
        _version, uid = struct.unpack_from("II", sock.getsockopt(0, 1, 76))  # LOCAL_PEERCRED
        return int(uid)
    return None
