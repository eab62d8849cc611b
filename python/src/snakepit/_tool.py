"""The decorator that makes a function a tool."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar, get_args, overload

if TYPE_CHECKING:
    from collections.abc import Callable

Cancel: TypeAlias = Literal["interrupt", "cooperative", "kill"]
"""How a tool is stopped: by an exception raised in it, by asking, or with its process."""

F = TypeVar("F", bound="Callable[..., Any]")

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MARK: Final = "__snakepit_tool__"
RESERVED: Final = "snakepit."
"""What the names of tools begin with that are the host's and the SDK's own."""
_MAX_DESCRIPTION: Final = 4096


class DefinitionError(TypeError):
    """A tool or an adapter isn't defined as it must be; the message says how to mend it."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What the decorator was told about a function."""

    name: str
    description: str
    idempotent: bool
    cancel: Cancel
    place: tuple[str, int]
    """File and line, to tell two functions of one name apart."""


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    idempotent: bool = False,
    cancel: Cancel = "interrupt",
) -> Callable[[F], F]: ...


def tool(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    idempotent: bool = False,
    cancel: Cancel = "interrupt",
) -> F | Callable[[F], F]:
    """Makes a function or a method a tool, and returns it unchanged.

    Its parameters become the tool's arguments, checked against their type hints before it runs. It
    may be ``def`` or ``async def``; one that yields streams. A parameter with the hint ``Context``
    gets the call, one with the hint ``Input[T]`` the caller's chunks::

        @tool
        def add(a: int, b: int = 1) -> int: ...


        @tool(name="train", idempotent=True)
        async def fit(ctx: Context, epochs: int) -> AsyncIterator[Progress]: ...

    Args:
        function: what ``@tool`` without parentheses decorates.
        name: what callers call it; the function's name when not given.
        description: what it does, for people and models; the docstring when not given.
        idempotent: it may be run again after it may have run already.
        cancel: how it's stopped. ``interrupt`` raises Cancelled in it, ``cooperative`` sets
            ``ctx.cancelled`` and leaves the rest to it, ``kill`` ends its process.

    Raises:
        DefinitionError: (a TypeError) it can't be a tool; the message says why.
    """

    def mark(function: F) -> F:
        definition = _define(function, name, description, idempotent, cancel)
        setattr(function, MARK, definition)
        _remember(function, definition)
        return function

    return mark if function is None else mark(function)


def _define(
    function: Callable[..., Any],
    name: str | None,
    description: str | None,
    idempotent: bool,
    cancel: Cancel,
) -> Definition:
    if not inspect.isfunction(function):
        kind = type(function).__name__
        msg = f"@tool goes on a function, directly above its def, not on a {kind}"
        raise DefinitionError(msg)
    name = function.__name__ if name is None else name
    if not NAME.fullmatch(name):
        msg = (
            f"tool name {name[:80]!r}: a name is 1 to 64 letters, digits, '_', '.' or '-' of "
            "ASCII, and begins with a letter or a digit"
        )
        raise DefinitionError(msg)
    if name.startswith(RESERVED):
        msg = f"tool {name!r}: names that begin with {RESERVED!r} are Snakepit's own; take another"
        raise DefinitionError(msg)
    if cancel not in get_args(Cancel):
        msg = f"tool {name!r}: cancel is 'interrupt', 'cooperative' or 'kill', not {cancel!r}"
        raise DefinitionError(msg)
    if description is None:
        description = inspect.getdoc(function) or ""
    code = function.__code__
    return Definition(
        name=name,
        description=description.encode()[:_MAX_DESCRIPTION].decode(errors="ignore"),
        idempotent=idempotent,
        cancel=cancel,
        place=(code.co_filename, code.co_firstlineno),
    )


def _remember(function: Callable[..., Any], definition: Definition) -> None:
    """Notes a definition in its module, where a second function of its name would hide it."""
    namespace: dict[str, Any] = function.__globals__
    seen: list[tuple[Definition, str]] = namespace.setdefault("__snakepit_tools__", [])
    if len(seen) < 4096:  # functions that are made in a loop
        seen.append((definition, function.__qualname__))


def definition_of(value: object) -> Definition | None:
    """Gives what @tool was told about a function; None for anything else."""
    function: Any = value
    if type(value) in (staticmethod, classmethod):
        function = function.__func__
    found = getattr(function, MARK, None) if inspect.isfunction(function) else None
    return found if isinstance(found, Definition) else None


def definitions_in(namespace: dict[str, Any]) -> list[tuple[Definition, str]]:
    """Lists what @tool has seen in a module, with each function's qualified name."""
    found: list[tuple[Definition, str]] = namespace.get("__snakepit_tools__", [])
    return found
