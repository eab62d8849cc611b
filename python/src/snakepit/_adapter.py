"""Adapters: where a worker's tools come from."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MethodType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from snakepit import _hooks, _schema
from snakepit._tool import Cancel, Definition, DefinitionError, definition_of, definitions_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from snakepit._session import Session

MAX_SLOTS = 1024
SLOTS: Final = "SNAKEPIT_WORKER_SLOTS"
"""The variable by which a host says how many calls it wants to run at once."""


class Adapter:
    """A set of tools that share state. One instance lives as long as its worker.

    ::

        class Digits(Adapter):
            def setup(self) -> None:
                self.model = load()

            @tool
            def predict(self, pixels: list[float]) -> int: ...
    """

    slots: ClassVar[int] = 1
    """How many calls run at once, at least 1. With more, ``def`` tools run on threads.

    The host's knob ``slots`` goes before it.
    """

    def setup(self) -> None:
        """Prepares, once, on the main thread, before the first call. Raising ends the worker."""

    def close(self) -> None:
        """Tidies up, last of all, when the worker ends in order; it has about a second."""

    # Hooks of sessions: only those that an adapter has of its own are called, as a call of the
    # session, in turn with its others. They may be ``def`` or ``async def``.

    def on_session_open(self, session: Session) -> Awaitable[None] | None:
        """Hears that this worker is the home of a new session, before its first call."""

    def on_session_restore(self, session: Session, saved: bytes | None) -> Awaitable[None] | None:
        """Brings a session back that had another home, before its first call here.

        Args:
            session: its state is what it was there.
            saved: what on_session_save gave there; None when nobody could ask it.
        """

    def on_session_save(self, session: Session) -> Awaitable[bytes | None] | bytes | None:
        """Gives what a session is to have at the home that it's about to move to.

        It's asked when the move is planned, not when a worker or a node has died.
        """

    def on_session_close(self, session: Session, moved: bool) -> Awaitable[None] | None:
        """Hears that a session that had its home here has ended.

        Args:
            session: its state may be gone already.
            moved: it goes on elsewhere.
        """


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that can be called by name."""

    name: str
    description: str
    idempotent: bool
    cancel: Cancel
    function: Callable[..., Any]
    signature: _schema.Signature


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What a worker serves."""

    name: str
    """The adapter's class, or its module where it has none."""
    tools: dict[str, Tool]
    slots: int
    adapter: object | None
    """The instance; None for a module's functions."""
    hooks: dict[str, Tool] = field(default_factory=dict[str, Tool])
    """The adapter's hooks, by the names that the host has for them."""
    capabilities: tuple[str, ...] = ()
    """Which hooks these are."""

    def setup(self) -> None:
        """Calls the adapter's setup, where it has one."""
        _call_hook(self.adapter, "setup")

    def close(self) -> None:
        """Calls the adapter's close, where it has one."""
        _call_hook(self.adapter, "close")


def _call_hook(adapter: object | None, name: str) -> None:
    hook = getattr(adapter, name, None)
    if callable(hook):
        hook()


def collect(source: object) -> Toolbox:
    """Collects the tools of an adapter: a class, an instance, a module, or one function.

    Raises:
        DefinitionError: it has none, or two of one name, or one that can't be a tool.
    """
    if isinstance(source, ModuleType):
        return _collect_module(source)
    if inspect.isfunction(source):
        return _toolbox(source.__name__, [_tool_of(source, None)], None)
    adapter = source() if isinstance(source, type) else source
    return _toolbox(type(adapter).__qualname__, _tools_of_instance(adapter), adapter)


def _collect_module(module: ModuleType) -> Toolbox:
    classes = _own_adapters(module)
    if len(classes) > 1:
        names = ", ".join(sorted(c.__name__ for c in classes))
        name = classes[0].__name__
        msg = f"{module.__name__} has several adapters ({names}): name one, as in FILE:{name}"
        raise DefinitionError(msg)
    functions = [_tool_of(f, None) for f in _own_functions(module)]
    if not classes:
        return _toolbox(module.__name__, functions, None)
    adapter = classes[0]()
    tools = [*_tools_of_instance(adapter), *functions]
    return _toolbox(classes[0].__qualname__, tools, adapter)


def _own_adapters(module: ModuleType) -> list[type]:
    found: dict[type, None] = {}
    for value in vars(module).values():
        kind: Any = value
        if not isinstance(value, type) or kind.__module__ != module.__name__:
            continue
        if issubclass(kind, Adapter) or any(_definitions(kind)):
            found[kind] = None
    # A base class in the same module isn't meant when something derives from it.
    return [c for c in found if not any(c is not d and issubclass(d, c) for d in found)]


def _own_functions(module: ModuleType) -> Iterator[Callable[..., Any]]:
    seen: set[int] = set()
    for value in vars(module).values():
        if inspect.isfunction(value) and id(value) not in seen and definition_of(value) is not None:
            seen.add(id(value))  # it may have two names there
            yield value


def _tools_of_instance(adapter: object) -> list[Tool]:
    kind = type(adapter)
    return [_tool_of(getattr(adapter, attribute), kind) for attribute, _ in _definitions(kind)]


def _definitions(kind: type) -> Iterator[tuple[str, Definition]]:
    for attribute in dir(kind):
        try:
            definition = definition_of(inspect.getattr_static(kind, attribute))
        except AttributeError:
            continue
        if definition is not None:
            yield attribute, definition


def _tool_of(function: Callable[..., Any], owner: type | None) -> Tool:
    definition = definition_of(getattr(function, "__func__", function))
    if definition is None:
        name = getattr(function, "__name__", repr(function))
        msg = f"{name} isn't a tool: put @tool above its def"
        raise DefinitionError(msg)
    return Tool(
        name=definition.name,
        description=definition.description,
        idempotent=definition.idempotent,
        cancel=definition.cancel,
        function=function,
        signature=_schema.read(definition.name, function, owner),
    )


def _toolbox(name: str, tools: list[Tool], adapter: object | None) -> Toolbox:
    if not tools:
        msg = f"{name} has no tools: put @tool above the functions that are to be called"
        raise DefinitionError(msg)
    named: dict[str, Tool] = {}
    for t in tools:
        other = named.setdefault(t.name, t)
        if other is not t:
            msg = f"two tools are named {t.name!r}: {_place(other)} and {_place(t)}"
            raise DefinitionError(msg)
    hooks = {} if adapter is None else dict(_hooks_of(adapter))
    return Toolbox(
        name,
        dict(sorted(named.items())),
        _slots_of(name, adapter),
        adapter,
        hooks={t.name: t for t in hooks.values()},
        capabilities=tuple(hooks),
    )


def _hooks_of(adapter: object) -> Iterator[tuple[str, Tool]]:
    """Makes the adapter's hooks tools; with each comes what Describe calls it."""
    for hook, function, is_async in _hooks.find(adapter, Adapter):
        yield (
            hook.capability,
            Tool(
                name=hook.tool,
                description="",
                idempotent=False,
                cancel="interrupt",
                function=function,
                signature=_hooks.signature_of(hook, is_async=is_async),
            ),
        )


def _place(t: Tool) -> str:
    definition = definition_of(getattr(t.function, "__func__", t.function))
    where = f" (line {definition.place[1]})" if definition is not None else ""
    return f"{getattr(t.function, '__qualname__', t.name)}{where}"


def _slots_of(name: str, adapter: object | None) -> int:
    slots: object = getattr(adapter, "slots", 1)
    if not isinstance(slots, int) or not 1 <= slots <= MAX_SLOTS:
        msg = f"{name}.slots is a number from 1 to {MAX_SLOTS}, not {slots!r}"
        raise DefinitionError(msg)
    return slots


# Finding the adapter that a command line names.


def load(target: str) -> Toolbox:
    """Imports FILE.py, FILE.py:Class, MODULE or MODULE:Class, and collects its tools.

    Raises:
        DefinitionError: there is nothing of that name, or it's no adapter.
        BaseException: whatever the import raises.
    """
    return assemble(find(target))


def assemble(found: object) -> Toolbox:
    """Collects the tools of what find has found, for as many slots as the host wants."""
    return _as_told(collect(found))


def read_ahead(found: object) -> None:
    """Reads the signatures of what find has found, for every later assemble; makes no instance."""
    if isinstance(found, ModuleType):
        for function in _own_functions(found):
            _read_ahead(function, None)
    elif inspect.isfunction(found):
        _read_ahead(found, None)
    kinds = _own_adapters(found) if isinstance(found, ModuleType) else [found]
    for kind in kinds:
        if isinstance(kind, type):
            _hooks.read_ahead(kind, Adapter)
            for attribute, _ in _definitions(kind):
                static: object = inspect.getattr_static(kind, attribute)
                if inspect.isfunction(static):  # a method of each instance
                    _read_ahead(MethodType(static, object()), kind)


def _read_ahead(function: Callable[..., Any], owner: type | None) -> None:
    definition = definition_of(getattr(function, "__func__", function))
    if definition is not None:
        _schema.read_ahead(definition.name, function, owner)


def find(target: str) -> object:
    """Imports FILE.py, FILE.py:Class, MODULE or MODULE:Class; for collect.

    Raises:
        DefinitionError: there is nothing of that name.
        BaseException: whatever the import raises.
    """
    where, name = split(target)
    module = _import_file(Path(where)) if is_file(where) else _import_module(where)
    _refuse_shadowed(module)
    if not name:
        return module
    found: object = getattr(module, name, None)
    if found is None:
        raise DefinitionError(_no_such_name(module, name))
    return found


def _as_told(toolbox: Toolbox) -> Toolbox:
    """Gives the toolbox as many slots as the host wants, where it wants any number."""
    told = os.environ.get(SLOTS, "")
    if not told:
        return toolbox
    slots = int(told) if told.isdecimal() else 0
    if not 1 <= slots <= MAX_SLOTS:
        msg = f"{SLOTS} is a number from 1 to {MAX_SLOTS}, not {told[:32]!r}"
        raise DefinitionError(msg)
    return replace(toolbox, slots=slots)


def split(target: str) -> tuple[str, str]:
    """Takes a target apart: file or module, and the class, if one is named."""
    where, colon, name = target.rpartition(":")
    return (where, name) if colon and where and not set(name) & {"/", "\\"} else (target, "")


def is_file(where: str) -> bool:
    """Tells a file from a module's name."""
    return where.endswith(".py") or "/" in where or "\\" in where


def _no_such_name(module: ModuleType, name: str) -> str:
    names = [c.__name__ for c in _own_adapters(module)]
    names += [f.__name__ for f in _own_functions(module)]
    hint = _schema.suggest(name, names)
    has = f"it has {', '.join(sorted(names)[:16])}" if names else "it has no tools at all"
    text = f"{module.__name__} has no {name!r}; {has}"
    return f"{text}; {hint}" if hint else text


def _import_module(name: str) -> ModuleType:
    _let_import_from(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name is None or not (name == e.name or name.startswith(f"{e.name}.")):
            raise  # something that it imports is missing
        msg = f"there is no module {name!r}; for a file, write {name}.py"
        raise DefinitionError(msg) from e


def _import_file(path: Path) -> ModuleType:
    path = path.absolute()
    if not path.is_file():
        msg = f"there is no file {path}"
        raise DefinitionError(msg)
    _let_import_from(path.parent)
    # Under its own name, so that what it defines can be pickled; not in place of another module.
    name = path.stem if path.stem not in sys.modules else f"snakepit_adapter_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        msg = f"{path} isn't a Python file: its name ends with .py"
        raise DefinitionError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _let_import_from(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _refuse_shadowed(module: ModuleType) -> None:
    """Finds a second function of one name, which silently takes the place of the first."""
    seen: dict[str, Definition] = {}
    for definition, qualname in definitions_in(vars(module)):
        first = seen.setdefault(qualname, definition)
        if first.place == definition.place or "<locals>" in qualname:
            continue
        lines = f"lines {first.place[1]} and {definition.place[1]}"
        msg = f"two tools are named {definition.name!r}: {qualname} is defined in {lines}"
        raise DefinitionError(msg)
