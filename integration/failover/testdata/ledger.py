"""Writes down what it did under which epoch, so that nobody has to be believed."""

import os
import time
from pathlib import Path

from snakepit import Adapter, Context, Session, tool

# Whose worker it was started as: its folder is in that host's run folder, which names its directory.
NODE = Path(Path("..", "data-dir").read_text(encoding="utf-8").strip()).name
BOOK = os.open(os.environ["LEDGER_BOOK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(kind: str, ctx: Context, n: int) -> int:
    """One line, whole, whoever else writes: when, what, which session under which epoch, where."""
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert ctx.session is not None
    line = f"{now} {kind} {ctx.session.id} {ctx.fencing_token} {n} {NODE} {os.getpid()}\n"
    os.write(BOOK, line.encode())
    return now


class Ledger(Adapter):
    """A session is a sum; what it holds in memory is how often this worker was asked."""

    def setup(self) -> None:
        self.memory: dict[str, int] = {}
        self.restored: dict[str, int] = {}
        self.saved: dict[str, int] = {}

    def on_session_restore(self, session: Session, saved: bytes | None) -> None:
        self.restored[session.id] = self.restored.get(session.id, 0) + 1
        if saved is not None:
            self.saved[session.id] = int(saved)
            self.memory[session.id] = int(saved)
        else:
            self.memory.pop(session.id, None)

    def on_session_save(self, session: Session) -> bytes | None:
        return str(self.memory.get(session.id, 0)).encode()

    @tool
    def add(self, ctx: Context, n: int, seconds: float = 0.0) -> dict[str, object]:
        """Makes n the session's highest number, and tells which one was before."""
        session = ctx.session
        assert session is not None
        note("begin", ctx, n)
        before = session.state.get("last", 0)
        if seconds:
            time.sleep(seconds)
        # A call that its caller gave up for lost may still come, until its deadline.
        session.state["last"] = max(before, n)
        asked = self.memory.get(session.id, 0) + 1
        self.memory[session.id] = asked
        note("end", ctx, n)
        return {
            "before": before,
            "asked": asked,
            "restored": self.restored.get(session.id, 0),
            "saved": self.saved.get(session.id, -1),
            "node": NODE,
            "pid": os.getpid(),
            "epoch": ctx.fencing_token,
            "home": session.home,
        }

    @tool
    def keep(self, ctx: Context, size: int) -> dict[str, object]:
        """Leaves so many bytes of state, unless there are some, and tells whether there were."""
        session = ctx.session
        assert session is not None
        before = len(session.state.get("kept", b""))
        if size and not before:
            session.state["kept"] = b"x" * size
        return {"before": before, "node": NODE, "pid": os.getpid(), "epoch": ctx.fencing_token}

    @tool
    def echo(self, n: int) -> int:
        """Belongs to no session."""
        return n
