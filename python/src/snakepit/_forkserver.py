"""The forkserver: imports an adapter once, and forks the workers that serve it.

Its parent is the host's shim, and so is that of the workers: where it can't have that at once, it
forks twice, and the shim, a subreaper, adopts the second child. Over descriptor 3 come requests,
each with descriptors: the gate, which is the new worker's own way to the shim, its standard input,
output and error, and the folder of its cgroup, if it has one. The worker says through the gate that
it's there, and reads from it who it is to be.

The forkserver has one thread, holds no lock and watches nothing: it ends with the shim, by
PDEATHSIG and by the end of the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import faulthandler
import gc
import os
import select
import signal
import socket
import stat
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from snakepit import _adapter, _log, _worker
from snakepit._clone import Cloner
from snakepit.plugin import _stdout

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE: Final = "SNAKEPIT_WORKER_FORKSERVER"
"""Holds the descriptor of the socket; whoever has it in its environment is a forkserver."""

_TOKEN: Final = b"SNAKEPIT_WORKER_TOKEN="

# What a host reads on standard output: the first line, then the second.
_GREETING: Final = "snakepit-forkserver|1|importing"
_READY: Final = "snakepit-forkserver|1|ready"
_FAILED: Final = "snakepit-forkserver|1|failed"
_UNFIT: Final = "snakepit-forkserver|1|unfit|"

# How many descriptors come with a request, with a cgroup.
_DESCRIPTORS: Final = 5
# What a worker says of itself: whether it's in its cgroup, or has to be put there.
_HERE, _IN_CGROUP = b"h", b"c"

_PR_SET_PDEATHSIG: Final = 1
# A thread that was joined is seen for a moment longer.
_LOOKS, _PAUSE = 20, 0.005

_libc = ctypes.CDLL(None, use_errno=True)


def serve(target: str) -> NoReturn:
    """Imports the adapter and forks workers until the shim has gone.

    Args:
        target: FILE.py, FILE.py:Class, MODULE or MODULE:Class.
    """
    door = _door()
    _stdout.say(_GREETING)
    if door is None:
        _stdout.announce(_UNFIT + "no shim is there to take the workers")
        raise SystemExit(1)
    os.umask(0o077)
    _worker.volunteer()
    _worker.prepare()
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _log.install()
    found = _find(target)
    _rehearse(found)
    if reason := unfit():
        _stdout.announce(_UNFIT + " ".join(reason.split())[:1000])
        raise SystemExit(0)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    collects = gc.isenabled()
    # What is there now is shared with every worker for as long as nobody writes to it.
    gc.collect()
    gc.disable()
    gc.freeze()
    _stdout.announce(_FAILED if isinstance(found, _Failure) else _READY)
    Forkserver(door, target, found, collects=collects).run()


def _rehearse(found: object) -> None:
    """Does once what each worker does: it costs far less where it was done before the fork."""
    with contextlib.suppress(Exception):  # the worker tells
        _adapter.read_ahead(found)
        reseed()
        asyncio.new_event_loop().close()


class _Failure:
    """What the import has raised; each worker tells its host."""

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception


def _find(target: str) -> object:
    try:
        return _adapter.find(target)
    except BaseException as e:  # noqa: BLE001  sys.exit in an adapter too
        return _Failure(e)


def _door() -> socket.socket | None:
    try:
        fd = int(os.environ.pop(VARIABLE))
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return None
        os.set_inheritable(fd, False)
        door = socket.socket(fileno=fd)
    except (OSError, ValueError):
        return None
    door.setblocking(True)
    return door


class Forkserver:
    """Forks a worker for each request."""

    def __init__(self, door: socket.socket, target: str, found: object, *, collects: bool) -> None:
        """Remembers who the parent is: the shim.

        Args:
            door: where requests come from.
            target: what is served.
            found: what the target is, imported.
            collects: whether the workers collect garbage, as the adapter has left it.
        """
        self._collects = collects
        self._door = door
        self._target = target
        self._found = found
        self._shim = os.getppid()
        self._cloner: Cloner | None = None
        with contextlib.suppress(OSError):
            self._cloner = Cloner()

    def run(self) -> NoReturn:
        """Serves until the socket ends."""
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(
                    self._door, 16, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
                )
            except OSError:
                data, fds = b"", []
            if not data:
                os._exit(0)
            if len(fds) >= _DESCRIPTORS - 1:
                self._fork(fds)
            for fd in fds:
                os.close(fd)

    def _fork(self, fds: list[int]) -> None:
        problem = self._clone(fds)
        if self._cloner is None:
            problem = self._fork_twice(fds)
        if problem:
            with contextlib.suppress(OSError):  # nobody waits any more
                os.write(fds[0], f"it can't fork: {problem}".encode()[:500])

    def _clone(self, fds: list[int]) -> str:
        """Forks a child of the shim; gives what went wrong."""
        cgroup = fds[4] if len(fds) == _DESCRIPTORS else None
        while self._cloner is not None:
            try:
                if self._cloner.fork(cgroup) == 0:
                    self._be_worker(fds, hello=_HERE if cgroup is None else _IN_CGROUP)
            except OSError as e:
                if e.errno in {errno.EAGAIN, errno.ENOMEM}:
                    return str(e)
                if cgroup is None:
                    self._cloner = None  # os.fork will do
                cgroup = None
            else:
                return ""
        return ""

    def _fork_twice(self, fds: list[int]) -> str:
        """Forks a child that the shim adopts, its own parent having ended."""
        try:
            between = os.fork()
            if between == 0:
                self._fork_again(fds)
            _, status = os.waitpid(between, 0)
        except OSError as e:
            return str(e)
        return os.strerror(os.waitstatus_to_exitcode(status)) if status else ""

    def _fork_again(self, fds: list[int]) -> NoReturn:
        between = os.getpid()
        try:
            if os.fork() != 0:
                os._exit(0)
        except OSError as e:
            os._exit(e.errno or 1)
        self._be_worker(fds, hello=_HERE, between=between)

    def _be_worker(self, fds: list[int], *, hello: bytes, between: int = 0) -> NoReturn:
        status = 1
        try:
            belong(self._shim, between)
            os.setsid()
            self._door.close()
            for number, fd in enumerate(fds[1:4]):
                os.dup2(fd, number)
            for fd in fds[1:]:
                os.close(fd)
            _stdout.reclaim()
            self._serve(fds[0], hello)
        except SystemExit as e:
            status = e.code if isinstance(e.code, int) else 1
        except BaseException:  # noqa: BLE001  it mustn't go on as a forkserver
            traceback.print_exc()
        os._exit(status)

    def _serve(self, gate: int, hello: bytes) -> None:
        with socket.socket(fileno=gate) as shim:
            shim.setblocking(True)
            shim.sendall(hello)
            folder, environment = read_order(shim)
        os.chdir(folder)
        become(environment)
        reseed()
        if self._collects:
            gc.enable()
        _worker.serve(self._target, self._load)

    def _load(self) -> _adapter.Toolbox:
        if isinstance(self._found, _Failure):
            raise self._found.exception
        return _adapter.assemble(self._found)


def belong(shim: int, between: int) -> None:
    """Waits until the shim is our parent, and ties our life to it.

    Args:
        shim: the process that is to adopt us.
        between: the parent that is about to end; 0: the shim is our parent already.

    Raises:
        SystemExit: the shim is gone.
    """
    with contextlib.suppress(OSError, ValueError):  # it's gone already, or never was
        ending = os.pidfd_open(between)
        poll = select.poll()
        poll.register(ending, select.POLLIN)
        poll.poll()
        os.close(ending)
    while (parent := os.getppid()) == between != 0:
        os.sched_yield()
    # It's the parent's death that the kernel looks at: one before this line is seen below.
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if parent != shim or os.getppid() != shim:
        raise SystemExit(1)


def read_order(gate: socket.socket) -> tuple[bytes, list[bytes]]:
    """Reads the worker's folder and its environment.

    Raises:
        EOFError: the shim has given up.
    """
    data = b""
    while b"\n" not in data:
        data += _receive(gate)
    size, _, body = data.partition(b"\n")
    parts = [body]
    missing = int(size) - len(body)
    while missing > 0:
        parts.append(_receive(gate))
        missing -= len(parts[-1])
    folder, *environment = b"".join(parts).split(b"\0")
    return folder, environment


def _receive(gate: socket.socket) -> bytes:
    part = gate.recv(1 << 16)
    if not part:
        raise EOFError("the shim has given this worker up")
    return part


def become(environment: list[bytes]) -> None:
    """Takes an environment in place of the forkserver's, also for whoever looks from outside.

    Args:
        environment: KEY=value; the first of a name counts.
    """
    for variable in environment:
        if variable.startswith(_TOKEN):
            overwrite_token(variable.removeprefix(_TOKEN))
    os.environb.clear()
    for variable in environment:
        key, equals, value = variable.partition(b"=")
        if equals and key and key not in os.environb:
            os.environb[key] = value


def overwrite_token(token: bytes) -> None:
    """Writes a token over the one that this process was started with.

    /proc/PID/environ shows the memory that the kernel laid the environment out in, whatever
    becomes of it in the process: by it a sweep tells whose worker this is.

    Raises:
        ValueError: there is no token of that length to write over.
    """
    where, shown = _shown_token()
    if not where or len(shown) != len(token):
        raise ValueError("the environment has no room for a token of that length")
    ctypes.memmove(where, token, len(token))


def _shown_token() -> tuple[int, bytes]:
    """Finds the token that /proc shows, and where in memory it is; 0: nowhere."""
    # The name, the second field, is in parentheses and may hold anything.
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[47]), int(fields[48])  # the line's fields 50 and 51
    block = b"\0" + ctypes.string_at(start, end - start)
    before, name, after = block.partition(b"\0" + _TOKEN)
    token, end_of_it, _ = after.partition(b"\0")
    return (start + len(before) + len(name) - 1 if end_of_it else 0), token


def reseed() -> None:
    """Gives the worker random numbers of its own; ``random`` sees to itself."""
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()


# Whether anything can be forked once the adapter is imported.


def unfit() -> str:
    """Says why a process that was forked from this one might not work; empty: it would."""
    for reason in _reasons():
        return reason
    return ""


def _reasons() -> Iterator[str]:
    threads = _threads()
    if threads:
        yield f"the import of the adapter started threads ({', '.join(threads)})"
    if device := _device():
        yield f"the import of the adapter opened the GPU ({device})"
    torch: Any = sys.modules.get("torch")
    cuda: Any = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        yield "the import of the adapter initialised CUDA in torch"
    if kind := _grpc_object():
        yield f"the import of the adapter made a gRPC object ({kind})"
    if connection := _connection():
        yield f"the import of the adapter opened a connection or an event loop ({connection})"
    if _shown_token()[1] != os.environb.get(_TOKEN[:-1], b""):
        yield "the import of the adapter wrote over the process's environment, as setproctitle does"


def _threads() -> list[str]:
    """Names the threads beside this one, once those that are just ending have."""
    names: list[str] = []
    for _ in range(_LOOKS):
        names = list(_thread_names())
        if not names:
            break
        time.sleep(_PAUSE)
    return names


def _thread_names() -> Iterator[str]:
    own = str(os.getpid())
    for task in Path("/proc/self/task").iterdir():
        if task.name != own:
            with contextlib.suppress(OSError):  # it has ended
                yield (task / "comm").read_text().strip()


def _device() -> str:
    """Names a GPU's device that is open; a context on it doesn't survive a fork."""
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # our own look at the folder
            name = str(fd.readlink())
            if name.startswith(("/dev/nvidia", "/dev/kfd", "/dev/dri/render")):
                return name
    return ""


def _connection() -> str:
    """Names what the workers would share with each other: each would read the others' answers."""
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # our own look at the folder, or not connected
            name = str(fd.readlink())
            if name == "anon_inode:[eventpoll]":
                return name
            if name.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(fd.name))) as copy:
                    if copy.type == socket.SOCK_STREAM and copy.getpeername() is not None:
                        return f"descriptor {fd.name}, {name}"
    return ""


def _grpc_object() -> str:
    kinds = {
        kind
        for module, name in (
            ("grpc._channel", "Channel"),
            ("grpc._server", "_Server"),
            ("grpc.aio._channel", "Channel"),
            ("grpc.aio._server", "Server"),
        )
        if (kind := getattr(sys.modules.get(module), name, None)) is not None
    }
    for thing in gc.get_objects():
        if type(thing) in kinds:
            return f"{type(thing).__module__}.{type(thing).__qualname__}"
    return ""
