"""A session's notes: in its worker's memory, and in its replicated state."""

import os
import time

from snakepit import Adapter, Context, Session, tool


class Notes(Adapter):
    def setup(self) -> None:
        self.memory: dict[str, list[str]] = {}
        self.restored: set[str] = set()

    def on_session_restore(self, session: Session, saved: bytes | None) -> None:
        self.restored.add(session.id)
        self.memory[session.id] = saved.decode().split(",") if saved else []

    def on_session_save(self, session: Session) -> bytes:
        return ",".join(self.memory.get(session.id, [])).encode()

    @tool
    def note(self, ctx: Context, word: str) -> dict[str, object]:
        assert ctx.session is not None
        self.memory.setdefault(ctx.session.id, []).append(word)
        ctx.session.state["words"] = [*ctx.session.state.get("words", []), word]
        return self.read(ctx)

    @tool
    def read(self, ctx: Context) -> dict[str, object]:
        assert ctx.session is not None
        return {
            "pid": os.getpid(),
            "memory": self.memory.get(ctx.session.id, []),
            "state": ctx.session.state.get("words", []),
            "restored": ctx.session.id in self.restored,
        }

    @tool
    def plus(self, x: int) -> int:
        return x + 1

    @tool
    def tick(self, ctx: Context, path: str) -> None:
        with open(path, "a") as out:
            while True:
                print(os.getpid(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), file=out, flush=True)
                time.sleep(0.005)

    @tool
    def remember(self, ctx: Context) -> dict[str, int]:
        assert ctx.session is not None
        self.memory.setdefault(ctx.session.id, []).append("x")
        return {"memory": len(self.memory[ctx.session.id])}
