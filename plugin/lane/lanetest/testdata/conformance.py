"""The worker that lanetest wants, on the Python SDK."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from snakepit import Adapter, Context, Input, Session, tool


def pattern(size: int) -> bytes:
    """Gives bytes that show where they belong."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


class Conformance(Adapter):
    """What each tool does stands in the Go package lanetest."""

    slots = int(os.environ.get("CONFORMANCE_SLOTS", "1"))

    def setup(self) -> None:
        self.told: dict[str, list[Any]] = {}

    def note(self, session: Session, *what: Any) -> None:
        self.told.setdefault(session.id, []).append(list(what))

    def on_session_open(self, session: Session) -> None:
        self.note(session, "open")

    def on_session_restore(self, session: Session, saved: bytes | None) -> None:
        if saved == b"fail":
            self.fail("restore")
        while saved == b"spin":
            pass
        self.note(session, "restore", dict(session.state), saved)

    async def on_session_save(self, session: Session) -> bytes | None:
        self.note(session, "save")
        return None if session.id.startswith("empty") else session.id.encode()

    def on_session_close(self, session: Session, moved: bool) -> None:
        self.note(session, "close", moved)

    @tool
    def echo(self, value: Any) -> Any:
        return value

    @tool
    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    @tool
    def sum(self, numbers: Input[int]) -> int:
        total = 0
        for n in numbers:
            total += n
        return total

    @tool
    def upper(self, words: Input[str]) -> Iterator[str]:
        for word in words:
            yield word.upper()

    @tool
    def lengths(self, parts: Input[bytes]) -> Iterator[int]:
        for part in parts:
            yield len(part)

    @tool
    def sleep(self, seconds: float) -> float:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.02))  # a thread is interrupted between two of these
        return seconds

    @tool
    def spin(self) -> None:
        while True:
            pass

    @tool(cancel="cooperative")
    def stubborn(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    @tool
    def fail(self, message: str) -> None:
        e = ValueError(message)
        e.add_note("first")
        e.add_note("second")
        raise e

    @tool
    def call_back(self, ctx: Context, tool: str, value: Any) -> Any:
        return ctx.call(tool, value=value)

    @tool
    def blob(self, size: int) -> bytes:
        return pattern(size)

    @tool
    def blobs(self, n: int, size: int) -> Iterator[bytes]:
        data = pattern(size)
        for _ in range(n):
            yield data

    @tool
    def sink(self, data: bytes) -> int:
        return len(data)

    @tool
    def progress(self, ctx: Context, n: int) -> int:
        for i in range(1, n + 1):
            ctx.progress(i, n, f"step {i}")
        return n

    @tool
    def about(self, ctx: Context) -> dict[str, Any]:
        return {
            "tool": ctx.tool,
            "call_id": ctx.call_id,
            "session": ctx.session.id if ctx.session is not None else "",
            "metadata": dict(ctx.metadata),
            "remaining": ctx.remaining,
            "epoch": ctx.session.epoch if ctx.session is not None else None,
            "home": ctx.session.home if ctx.session is not None else None,
        }

    @tool
    def keep(self, ctx: Context, key: str, value: Any) -> list[Any]:
        assert ctx.session is not None
        state = ctx.session.state
        before = state.get(key)
        state[key] = value
        return [before, state[key], state.version(key)]

    @tool
    def hooks(self, ctx: Context) -> list[Any]:
        return self.told.get(ctx.session.id, []) if ctx.session is not None else []
