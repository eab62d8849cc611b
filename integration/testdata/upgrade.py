"""Counts in memory, a session each, with room for many calls at once."""

import time
from pathlib import Path

from snakepit import Adapter, Context, tool


class Counters(Adapter):
    slots = 16

    def setup(self) -> None:
        self.counts: dict[str, int] = {}

    @tool
    def count(self, ctx: Context) -> int:
        key = ctx.session.id
        self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts[key]

    @tool
    def wait_for(self, path: str) -> str:
        Path(path + ".waiting").touch()
        while not Path(path).exists():
            time.sleep(0.005)
        return "there"
