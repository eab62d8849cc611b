"""Tools that keep a worker busy in every way that is hard to end."""

import ctypes
import os
import secrets
import subprocess
import threading
import time

from snakepit import Adapter, Context, tool

HERE = os.path.dirname(os.path.abspath(__file__))

# Leaves its session twice, ignores SIGTERM as does what it executes, and holds the worker's standard error.
ESCAPE = """trap '' TERM
setsid sh -c 'echo $$ >"$0"; exec sleep 600' "$1" &
setsid sh -c 'echo $$ >"$0"; exec sleep 600' "$2" &
"""


def token() -> str:
    """Names this worker, whatever numbers its pids are counted in."""
    with open("/proc/self/environ") as f:
        return dict(kv.partition("=")[::2] for kv in f.read().split("\0"))["SNAKEPIT_WORKER_TOKEN"]


def begun(what: str) -> None:
    """Tells the test that a tool runs, by a file with its name and whose it is."""
    path = os.path.join(HERE, f"begun-{what}-{token()}-{threading.get_ident()}")
    with open(path, "w"):
        pass


class Victim(Adapter):
    """One call at a time."""

    def setup(self) -> None:
        self.kept: dict[str, list[int]] = {}
        self.counts: dict[str, int] = {}
        self.me = secrets.randbits(48)  # a long run sees pids again

    @tool
    def pid(self) -> int:
        return os.getpid()

    @tool
    def remember(self, ctx: Context, n: int) -> dict[str, object]:
        """Adds to what this session holds in this process's memory."""
        session = ctx.session.id if ctx.session else ""
        kept = self.kept.setdefault(session, [])
        kept.append(n)
        return {"pid": os.getpid(), "kept": kept}

    @tool
    def count(self, ctx: Context) -> list[int]:
        """Tells how often this process has served this session."""
        session = ctx.session.id if ctx.session else ""
        self.counts[session] = self.counts.get(session, 0) + 1
        return [self.me, self.counts[session]]

    @tool
    def sleep(self) -> None:
        begun("sleep")
        time.sleep(600)

    @tool
    def loop(self) -> None:
        begun("loop")
        while True:
            pass

    @tool
    def stuck(self) -> None:
        """Holds the GIL in a C call that no signal ends: a mutex is locked twice."""
        begun("stuck")
        mutex = ctypes.create_string_buffer(128)
        for _ in range(2):
            ctypes.PyDLL(None).pthread_mutex_lock(mutex)

    @tool
    def brood(self) -> None:
        """Leaves grandchildren that have escaped from it, and sleeps."""
        files = [os.path.join(HERE, f"escaped-{i}.{os.getpid()}") for i in range(2)]
        subprocess.run(["/bin/sh", "-c", ESCAPE, "sh", *files], start_new_session=True, check=True)
        while not all(os.path.exists(f) for f in files):
            time.sleep(0.002)
        begun("brood")
        time.sleep(600)

    @tool
    def exit(self) -> None:
        os._exit(0)

    @tool
    def segfault(self) -> None:
        ctypes.string_at(0)


class Crowd(Victim):
    """Several calls at once."""

    slots = 4


class Slow(Adapter):
    """Never gets ready."""

    def setup(self) -> None:
        begun("setup")
        time.sleep(600)

    @tool
    def pid(self) -> int:
        return os.getpid()
