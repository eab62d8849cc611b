"""Two tools of one name."""

from snakepit import tool


@tool(name="same")
def first() -> int:
    return 1


@tool(name="same")
def second() -> int:
    return 2
