from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import types
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from snakepit import _forkserver
from snakepit._clone import Cloner

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform != "linux":
    pytest.skip("there are forkservers on Linux only", allow_module_level=True)

COOKIE = "SNAKEPIT_PLUGIN=0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54"
TOKEN, OTHER = "a" * 32, "b" * 32
PATIENCE = 60.0
SOURCE = """
    from snakepit import tool

    @tool
    def hello() -> str:
        return "hello"
"""

# With this in place of -m snakepit it forks twice.
TWICE = """
import sys
import snakepit._forkserver as f
from snakepit.plugin import claim_stdout

class Refusing:
    def __init__(self):
        raise OSError("not here")

f.Cloner = Refusing
claim_stdout()
f.serve(sys.argv[1])
"""


class Server:
    """A forkserver, of which this process is the shim."""

    def __init__(self, target: Path, *how: str) -> None:
        self.door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The number 3 is the shim's habit; the forkserver takes what it's told.
        environment = {
            **os.environ,
            _forkserver.VARIABLE: str(theirs.fileno()),
            "SNAKEPIT_WORKER_TOKEN": TOKEN,
        }
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, *(how or ("-m", "snakepit")), str(target)],
            env=environment,
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        self.door.settimeout(PATIENCE)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self) -> None:
        self.door.close()
        self.process.wait(PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Worker:
    """A worker that a forkserver was asked for."""

    def __init__(self, server: Server, *cgroup: int, errors: bool = False) -> None:
        # A killed worker leaves its socket, and that has a short name's folder.
        self.sockets = tempfile.TemporaryDirectory(prefix="sf")
        self.gate, gate = socket.socketpair()
        self.gate.settimeout(PATIENCE)
        self.gate.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.output, output = os.pipe()
        with Path(os.devnull).open("r+b") as null:
            complaints = output if errors else null.fileno()
            fds = [gate.fileno(), null.fileno(), output, complaints, *cgroup]
            socket.send_fds(server.door, [b"f"], fds)
        gate.close()
        os.close(output)
        self.said, control, _, _ = self.gate.recvmsg(512, socket.CMSG_SPACE(12))
        self.pid: int = struct.unpack("3i", control[0][2])[0]

    def order(self, folder: Path, *environment: str) -> None:
        environment = (*environment, f"TMPDIR={self.sockets.name}")
        body = b"\0".join([os.fsencode(folder), *(e.encode() for e in environment)])
        self.gate.sendall(b"%d\n%s" % (len(body), body))

    def stat(self) -> list[str]:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()

    def line(self) -> str:
        text = b""
        while not text.endswith(b"\n"):
            part = os.read(self.output, 1)  # what comes behind the line is the next one's
            assert part, "it ended early"
            text += part
        return text.decode().rstrip("\n")

    def end(self) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self.gate.close()
        os.close(self.output)
        self.sockets.cleanup()
        return status


@pytest.fixture(autouse=True, scope="module")
def subreaper() -> Iterator[None]:
    prctl = ctypes.CDLL(None).prctl
    prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    yield
    prctl(36, 0, 0, 0, 0)


def adapter(tmp_path: Path, source: str = SOURCE) -> Path:
    file = tmp_path / "adapter.py"
    file.write_text(textwrap.dedent(source))
    return file


@pytest.fixture(params=["at once", "by two forks"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    how = () if cast("str", request.param) == "at once" else ("-c", TWICE)
    made = Server(adapter(tmp_path), *how)
    assert made.line() == "snakepit-forkserver|1|importing"
    assert made.line() == "snakepit-forkserver|1|ready"
    yield made
    made.end()


def test_a_forked_worker_is_the_shims_child_and_leads_its_own_session(server: Server) -> None:
    worker = Worker(server)
    assert worker.said == b"h"
    _state, parent, group, session = worker.stat()[:4]
    assert int(parent) == os.getpid()
    assert int(group) == int(session) == worker.pid
    assert worker.pid != server.process.pid
    worker.end()


def test_a_forked_worker_has_no_descriptors_but_its_own(server: Server, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)  # no cgroup, so the worker isn't in it
    worker = Worker(server, folder)
    os.close(folder)
    assert worker.said == b"h"
    kinds = [
        str(fd.readlink()).partition(":")[0] for fd in Path(f"/proc/{worker.pid}/fd").iterdir()
    ]
    own = [os.devnull, os.devnull, os.devnull, "pipe", "socket"]
    assert sorted(kinds) == own  # 0 to 2, what the handshake is for, the gate
    worker.end()


def test_a_forked_worker_serves_with_the_environment_that_it_was_sent(
    server: Server, tmp_path: Path
) -> None:
    worker = Worker(server)
    folder = tmp_path / "own"
    folder.mkdir()
    worker.order(
        folder, COOKIE, "PLUGIN_PROTOCOL_VERSIONS=1", f"PLUGIN_UNIX_SOCKET_DIR={folder}",
        f"SNAKEPIT_WORKER_TOKEN={OTHER}",
    )  # fmt: skip
    line = worker.line()
    assert line.startswith(f"1|1|unix|{folder}/plugin")
    assert Path(f"/proc/{worker.pid}/cwd").resolve() == folder
    shown = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
    assert f"SNAKEPIT_WORKER_TOKEN={OTHER}".encode() in shown
    assert f"SNAKEPIT_WORKER_TOKEN={TOKEN}".encode() not in shown
    theirs = Path(f"/proc/{server.process.pid}/environ").read_bytes().split(b"\0")
    assert f"SNAKEPIT_WORKER_TOKEN={TOKEN}".encode() in theirs
    worker.end()


def test_a_worker_that_was_given_up_ends(server: Server) -> None:
    worker = Worker(server)
    worker.gate.shutdown(socket.SHUT_WR)
    assert os.waitstatus_to_exitcode(worker.wait()) == 1


def test_a_worker_whose_order_is_cut_short_ends(server: Server) -> None:
    worker = Worker(server)
    worker.gate.sendall(b"100\n/tmp")
    worker.gate.shutdown(socket.SHUT_WR)
    assert os.waitstatus_to_exitcode(worker.wait()) == 1


def test_a_forkserver_ends_with_its_shim(server: Server) -> None:
    server.door.close()
    assert server.process.wait(PATIENCE) == 0


def test_workers_go_on_without_their_forkserver(server: Server, tmp_path: Path) -> None:
    worker = Worker(server)
    server.process.kill()
    server.process.wait(PATIENCE)
    worker.order(tmp_path, COOKIE, f"SNAKEPIT_WORKER_TOKEN={OTHER}")
    assert worker.line().startswith("1|1|unix|")
    worker.end()


def test_a_failed_import_is_told_by_who_is_forked(tmp_path: Path) -> None:
    server = Server(adapter(tmp_path, "raise RuntimeError('no license')\n"))
    assert [server.line(), server.line()] == [
        "snakepit-forkserver|1|importing",
        "snakepit-forkserver|1|failed",
    ]
    worker = Worker(server)
    worker.order(tmp_path, COOKIE, f"SNAKEPIT_WORKER_TOKEN={OTHER}")
    assert worker.line().startswith("1|1|unix|")  # Describe says the rest
    worker.end()
    server.end()


def test_an_import_that_starts_a_thread_makes_it_unfit(tmp_path: Path) -> None:
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
    server = Server(adapter(tmp_path, thread))
    server.line()
    assert server.line().startswith("snakepit-forkserver|1|unfit|the import of the adapter started")
    server.process.kill()
    server.end()


CONNECTED = """
    import socket
    from snakepit import tool
    listener = socket.create_server(("127.0.0.1", 0))
    database = socket.create_connection(listener.getsockname())
"""
LOOP = """
    import asyncio
    loop = asyncio.new_event_loop()
"""
TITLED = """
    import ctypes
    from pathlib import Path
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    ctypes.memset(start, 0, end - start)
"""


@pytest.mark.parametrize(
    ("source", "why"),
    [(CONNECTED, "opened a connection"), (LOOP, "an event loop"), (TITLED, "wrote over")],
)
def test_an_import_that_does_what_workers_cant_share_makes_it_unfit(
    tmp_path: Path, source: str, why: str
) -> None:
    server = Server(adapter(tmp_path, source))
    server.line()
    said = server.line()
    assert said.startswith("snakepit-forkserver|1|unfit|the import of the adapter ")
    assert why in said
    server.end()


def test_an_import_that_only_listens_or_sends_datagrams_doesnt_make_it_unfit(
    tmp_path: Path,
) -> None:
    source = """
        import socket
        listener = socket.create_server(("127.0.0.1", 0))
        log = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        log.connect(listener.getsockname())
    """
    server = Server(adapter(tmp_path, textwrap.dedent(source) + textwrap.dedent(SOURCE)))
    assert [server.line(), server.line()][1] == "snakepit-forkserver|1|ready"
    server.end()


def test_a_worker_collects_garbage_only_where_its_adapter_would(tmp_path: Path) -> None:
    for switch in ("enable", "disable"):
        source = f"""
            import gc
            gc.{switch}()
            from snakepit import Adapter, tool

            class Told(Adapter):
                def setup(self) -> None:
                    print("collects", gc.isenabled())

                @tool
                def hello(self) -> str:
                    return "hello"
        """
        server = Server(adapter(tmp_path, source))
        assert [server.line(), server.line()][1] == "snakepit-forkserver|1|ready"
        worker = Worker(server, errors=True)
        worker.order(
            tmp_path, COOKIE, "PLUGIN_PROTOCOL_VERSIONS=1", f"SNAKEPIT_WORKER_TOKEN={OTHER}"
        )
        lines = {worker.line(), worker.line()}
        assert f"collects {switch == 'enable'}" in lines
        worker.end()
        server.end()


def test_what_an_import_prints_is_no_greeting(tmp_path: Path) -> None:
    server = Server(adapter(tmp_path, "print('snakepit-forkserver|1|unfit|no')\n" + SOURCE))
    assert [server.line(), server.line()] == [
        "snakepit-forkserver|1|importing",
        "snakepit-forkserver|1|failed",
    ]
    server.end()


def test_a_joined_thread_doesnt_make_it_unfit(tmp_path: Path) -> None:
    source = "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()\n"
    server = Server(adapter(tmp_path, source + textwrap.dedent(SOURCE)))
    assert [server.line(), server.line()][1] == "snakepit-forkserver|1|ready"
    server.end()


def test_cuda_in_use_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = types.SimpleNamespace(is_initialized=lambda: True)
    monkeypatch.setitem(
        sys.modules, "torch", cast("types.ModuleType", types.SimpleNamespace(cuda=cuda))
    )
    monkeypatch.setattr(_forkserver, "_thread_names", lambda: iter(()))
    assert "CUDA" in _forkserver.unfit()


def test_numpy_draws_other_numbers_after_a_fork() -> None:
    numpy = pytest.importorskip("numpy")
    numpy.random.seed(1)
    expected = numpy.random.random()
    numpy.random.seed(1)
    _forkserver.reseed()
    assert numpy.random.random() != expected


def test_a_token_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        _forkserver.overwrite_token(b"short")


def test_a_child_can_be_its_parents_sibling() -> None:
    script = """
import os, threading
from snakepit._clone import Cloner
cloner = Cloner()
for _ in range(20):
    if cloner.fork() == 0:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        ok = threading.current_thread() is threading.main_thread()
        inner = os.fork()
        if inner == 0:
            os._exit(0)
        ok = ok and os.waitpid(inner, 0)[1] == 0
        os.write(1, str(os.getppid() if ok else -1).encode() + bytes([10]))
        os._exit(0)
"""
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert set(ended.stdout.split()) == {str(os.getpid())}, ended.stderr
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def test_a_cloner_that_the_kernel_refuses_raises() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        Cloner().fork(cgroup=-1)
