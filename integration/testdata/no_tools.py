"""A file without a tool."""


def add(a: int, b: int) -> int:
    return a + b
