"""The hooks of sessions: methods of an adapter that the host calls as tools with reserved names."""

# The hints of what the host sends are needed at run time.
# ruff: noqa: TC001

from __future__ import annotations

import difflib
import functools
import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from snakepit import _schema, errors
from snakepit._context import Context
from snakepit._tool import RESERVED, DefinitionError, definition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snakepit._session import Session

_PREFIX: Final = "on_session_"


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook."""

    attribute: str
    """The adapter's method."""
    tool: str
    """What the host calls it."""
    capability: str
    """By what the host knows that the adapter has it."""
    shape: Callable[..., None]
    """Has the hints of what the host sends."""
    more: tuple[str, ...] = ()
    """What the method gets beside the session."""


# A later host may send more.


def _bare(ctx: Context, **more: Any) -> None: ...


def _restored(ctx: Context, state: dict[str, bytes], saved: bytes | None, **more: Any) -> None: ...


def _closed(ctx: Context, moved: bool, **more: Any) -> None: ...


def _hook(word: str, shape: Callable[..., None], *more: str) -> Hook:
    tool = f"{RESERVED}session.{word}"
    return Hook(_PREFIX + word, tool, f"session_{word}", shape, more)


OPEN: Final = _hook("open", _bare)
RESTORE: Final = _hook("restore", _restored, "saved")
SAVE: Final = _hook("save", _bare)
CLOSE: Final = _hook("close", _closed, "moved")
HOOKS: Final = (OPEN, RESTORE, SAVE, CLOSE)


def find(adapter: object, base: type) -> Iterator[tuple[Hook, Callable[..., Any], bool]]:
    """Finds the hooks that an adapter has of its own.

    Args:
        adapter: its instance.
        base: the class whose own don't count.

    Yields:
        Each hook, the function to run as a tool, and whether that is an ``async def``.

    Raises:
        DefinitionError: one can't be called as the host does it, or there's none of its name.
    """
    _refuse_others(type(adapter))
    for hook in HOOKS:
        method: Any = getattr(adapter, hook.attribute, None)
        if method is None or _plain(method) is getattr(base, hook.attribute):
            continue
        _check(hook, method, type(adapter))
        if inspect.iscoroutinefunction(method):
            yield hook, _run_later(hook, method), True
        else:
            yield hook, _run(hook, method), False


def _plain(method: Any) -> Any:
    return getattr(method, "__func__", method)


def _refuse_others(kind: type) -> None:
    """Finds a hook that is misspelt: nobody would ever call it."""
    words = [hook.attribute.removeprefix(_PREFIX) for hook in HOOKS]
    for name in dir(kind):
        word = name.removeprefix(_PREFIX)
        if word == name or word in words:
            continue
        if meant := difflib.get_close_matches(word, words, 1):
            msg = f"{kind.__qualname__}.{name} is no hook; did you mean {_PREFIX}{meant[0]}?"
            raise DefinitionError(msg)


def _check(hook: Hook, method: Any, kind: type) -> None:
    where = f"{kind.__qualname__}.{hook.attribute}"
    wanted = f"def {hook.attribute}({', '.join(('self', 'session', *hook.more))})"
    if not callable(method):
        msg = f"{where} is a hook, so it's a method: {wanted}"
        raise DefinitionError(msg)
    if definition_of(_plain(method)) is not None:
        msg = f"{where} is a hook, which the host calls by itself: it can't be a tool as well"
        raise DefinitionError(msg)
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        msg = f"{where} yields, and a hook returns: {wanted}"
        raise DefinitionError(msg)
    try:
        inspect.signature(method).bind(None, *hook.more)
    except TypeError as e:
        msg = f"{where} can't be called with {', '.join(('session', *hook.more))} ({e}): {wanted}"
        raise DefinitionError(msg) from None


def read_ahead(kind: type, base: type) -> None:
    """Reads the signatures of the hooks that a class has, for every later signature_of."""
    for hook in HOOKS:
        method: Any = getattr(kind, hook.attribute, None)
        if method is not None and method is not getattr(base, hook.attribute):
            signature_of(hook, is_async=inspect.iscoroutinefunction(method))


@functools.cache
def signature_of(hook: Hook, *, is_async: bool) -> _schema.Signature:
    """Gives the signature of a hook as a tool."""
    return replace(_schema.read(hook.tool, hook.shape), is_async=is_async)


def _run(hook: Hook, method: Callable[..., Any]) -> Callable[..., Any]:
    def run(ctx: Context, **given: Any) -> Any:
        value = method(_session_of(ctx, given), *(given[name] for name in hook.more))
        return value if inspect.iscoroutine(value) else _result(hook, value)

    return run


def _run_later(hook: Hook, method: Callable[..., Any]) -> Callable[..., Any]:
    async def run(ctx: Context, **given: Any) -> Any:
        value = await method(_session_of(ctx, given), *(given[name] for name in hook.more))
        return _result(hook, value)

    return run


def _session_of(ctx: Context, given: dict[str, Any]) -> Session:
    if ctx.session is None:
        text = f"{ctx.tool} is about a session, and this call belongs to none"
        raise errors.InvalidArgumentsError(text)
    if "state" in given:
        ctx.session.state.seed(given["state"])
    return ctx.session


def _result(hook: Hook, value: Any) -> bytes | None:
    if hook is not SAVE or value is None:
        return None
    if type(value) not in (bytes, bytearray, memoryview):
        msg = f"{hook.attribute} gives bytes or None, not {type(value).__name__}"
        raise TypeError(msg)
    return bytes(value)
