"""Tools for the black-box tests: one for each kind of argument, result and failure."""

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime

from snakepit import Adapter, Context, tool


class Tools(Adapter):
    """What the program is tried on."""

    def setup(self) -> None:
        self.kept: dict[str, int] = {}

    @tool(idempotent=True)
    def add(self, a: int, b: int = 1) -> int:
        """Add two numbers.

        The second one is 1 where it isn't given.
        """
        return a + b

    @tool
    def kinds(self, s: str, i: int, f: float, b: bool, l: list[int], n: int | None = None) -> str:  # noqa: E741
        """Tell how the arguments arrived."""
        return repr((s, i, f, b, l, n))

    @tool
    def flip(self, data: bytes) -> bytes:
        """Turn bytes around."""
        return data[::-1]

    @tool
    def greet(self, name: str) -> str:
        return f"hej {name}"

    @tool
    def when(self) -> dict[str, object]:
        return {"at": datetime(2024, 2, 29, 12, 30), "nan": float("nan"), "big": 2**70}

    @tool
    def count(self, ctx: Context, n: int) -> Iterator[dict[str, int]]:
        """Count, and say how far it is."""
        for i in range(n):
            ctx.progress(i + 1, n, f"number {i}")
            yield {"i": i}

    @tool
    def keep(self, ctx: Context, n: int) -> int:
        """Add to what this session has."""
        session = ctx.session.id if ctx.session else ""
        self.kept[session] = self.kept.get(session, 0) + n
        return self.kept[session]

    @tool
    def boom(self, n: int) -> None:
        """Raise."""
        raise ValueError(f"n is {n}")

    @tool
    def nap(self, seconds: float) -> str:
        time.sleep(seconds)
        return "rested"

    @tool
    def pid(self) -> int:
        return os.getpid()

    @tool
    def chatty(self) -> str:
        print("to stdout")
        print("to stderr", file=sys.stderr)
        return "quiet"

    @tool
    def leave(self, code: int) -> None:
        """End the process without a word."""
        os._exit(code)

    @tool
    def segfault(self) -> None:
        ctypes.string_at(0)
