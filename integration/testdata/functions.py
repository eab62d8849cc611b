"""Tools without a class."""

from snakepit import tool


@tool
def twice(n: int) -> int:
    """Double a number."""
    return 2 * n
