"""The adapter that hosttest.TestLauncher needs, for launchers of Python workers."""

import os
import time
from collections.abc import Iterator

from snakepit import Context, Input, tool


@tool
def echo(value: object) -> object:
    """Returns its argument."""
    return value


@tool
def count(n: int) -> Iterator[int]:
    """Yields the integers from 0 on."""
    yield from range(n)


@tool
def total(numbers: Input[int]) -> int:
    """Adds up the chunks that it gets."""
    return sum(numbers)


@tool
def wait() -> None:
    """Goes on until it's cancelled."""
    while True:
        time.sleep(0.01)


@tool
def fail(message: str) -> None:
    """Raises a ValueError."""
    raise ValueError(message)


@tool
def ask(ctx: Context, value: object) -> object:
    """Returns what the host tool says."""
    return ctx.call("answer", value=value)


@tool
def die() -> None:
    """Ends the process at once."""
    os._exit(3)
