"""Tools for the tests of load, limits and deaths."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator

from snakepit import Adapter, tool


class Odd:
    """Nothing that msgpack knows."""


class Load(Adapter):
    """What is called often, and what goes wrong."""

    slots = 1

    def setup(self) -> None:
        self.count = 0

    @tool
    def echo(self, value: object) -> object:
        return value

    @tool
    def chunks(self, n: int, size: int) -> Iterator[bytes]:
        """Yield n chunks of size bytes, and count them for all to see."""
        path = COUNTS
        for i in range(n):
            if i % 10 == 0:
                with open(path, "w") as f:
                    f.write(str(i))
            yield bytes(size)

    @tool
    def written(self) -> int:
        """Tell how far the newest stream is, of whichever worker."""
        try:
            with open(COUNTS) as f:
                return int(f.read() or 0)
        except FileNotFoundError:
            return 0

    @tool
    def spin(self) -> None:
        while True:
            pass

    @tool
    def stubborn(self) -> None:
        while True:
            try:
                while True:
                    pass
            except BaseException:  # noqa: BLE001, S112
                continue

    @tool
    def exit(self) -> None:
        sys.exit(3)

    @tool
    def interrupt(self) -> None:
        raise KeyboardInterrupt

    @tool
    def shout(self) -> None:
        print("x" * 200_000)
        sys.stderr.write('{"@message":123}\n')

    @tool
    def quit(self) -> None:
        os._exit(5)

    @tool
    def segfault(self) -> None:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        ctypes.string_at(0)

    @tool
    def odd(self) -> dict[str, object]:
        return {"inner": [Odd()]}


COUNTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "counts")
