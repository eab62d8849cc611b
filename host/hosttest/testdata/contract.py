"""The adapter that hosttest.TestLauncher needs, for launchers of Python workers."""

import os
import time
from collections.abc import Iterator

from snakepit import Context, tool


@tool
def echo(value: object) -> object:
    return value


@tool
def count(n: int) -> Iterator[int]:
    yield from range(n)


@tool
def total(numbers: Iterator[int]) -> int:
    return sum(numbers)


@tool
def wait() -> None:
    while True:
        time.sleep(0.01)


@tool
def fail(message: str) -> None:
    raise ValueError(message)


@tool
def ask(ctx: Context, value: object) -> object:
    return ctx.call("answer", value=value)


@tool
def die() -> None:
    os._exit(3)
