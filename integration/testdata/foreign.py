"""Tools that a host of another make calls."""

from collections.abc import Iterator

from snakepit import Adapter, tool


class Foreign(Adapter):
    """A little of everything."""

    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @tool
    def count(self, n: int) -> Iterator[int]:
        """Count up to a number."""
        yield from range(n)

    @tool
    def spin(self) -> Iterator[str]:
        """Say so, and never end."""
        yield "spinning"
        while True:
            pass
