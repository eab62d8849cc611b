"""Tools that count, inside the worker, how many calls run at once."""

import threading
import time

from snakepit import Adapter, tool


class Slots(Adapter):
    """Counts its own calls: what a host says of its slots is checked against it."""

    slots = 2

    def setup(self) -> None:
        self.lock = threading.Lock()
        self.running = 0
        self.most = 0
        self.runs = 0

    def _enter(self) -> None:
        with self.lock:
            self.runs += 1
            self.running += 1
            self.most = max(self.most, self.running)

    def _leave(self) -> None:
        with self.lock:
            self.running -= 1

    @tool
    def work(self, seconds: float) -> int:
        """Take a while; a cancel cuts it short."""
        self._enter()
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.001)
            return self.runs
        finally:
            self._leave()

    @tool
    def spin(self, seconds: float) -> int:
        """Keep a processor busy."""
        self._enter()
        try:
            end, n = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                n += 1
            return n
        finally:
            self._leave()

    @tool
    def counted(self, seconds: float = 0) -> dict[str, int]:
        """Tell the most calls that ever ran at once, and how many ran, this one not counted.

        It takes a slot for so many seconds.
        """
        time.sleep(seconds)
        with self.lock:
            return {"most": self.most, "runs": self.runs, "running": self.running}


class Single(Slots):
    """The same with one slot."""

    slots = 1
