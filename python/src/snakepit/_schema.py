"""What a function's signature says: the check of its arguments and their JSON Schema."""

# Type hints are values of any kind here.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import collections.abc
import contextlib
import difflib
import inspect
import json
import re
import sys
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_args, get_origin

import msgspec

from snakepit import errors
from snakepit._context import Context, Input
from snakepit._tool import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STREAMS: Final[tuple[object, ...]] = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
)
_MAYBE_STREAMS: Final[tuple[object, ...]] = (
    collections.abc.Iterable,
    collections.abc.AsyncIterable,
)
_ASYNC: Final[tuple[object, ...]] = (
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    collections.abc.AsyncIterable,
)
_SIMPLE: Final = (bool, int, float, str, type(None))


@dataclass(frozen=True, slots=True)
class Signature:
    """What a call of a function needs and gives."""

    struct: type[msgspec.Struct]
    """Checks the arguments."""
    names: frozenset[str]
    positional: tuple[str, ...]
    """The parameters that can't be given by name."""
    extra: Any
    """The hint of ``**kwargs``; None when there are none."""
    context: str
    """The parameter that gets the Context; empty when none does."""
    input: str
    """The parameter that gets the caller's chunks; empty when none does."""
    item: Any
    """The hint of each of those chunks."""
    is_async: bool
    stream: bool
    input_schema: str
    output_schema: str

    def bind(self, given: object) -> tuple[list[Any], dict[str, Any]]:
        """Checks arguments, and sorts them for the function.

        Raises:
            InvalidArgumentsError: they don't fit; it has the path.
        """
        if self.extra is None:
            named = msgspec.structs.asdict(self._check(given))
        else:
            named = self._bind_extra(given)
        if not self.positional:
            return [], named
        return [named.pop(name) for name in self.positional], named

    def _check(self, given: object) -> msgspec.Struct:
        try:
            return msgspec.convert(given, self.struct, dec_hook=pass_through)
        except msgspec.ValidationError as e:
            plain = _plain(given)
            if plain is not given:
                return self._check(plain)
            raise self._explain(e) from None

    def _bind_extra(self, given: object) -> dict[str, Any]:
        if not isinstance(given, dict):
            return msgspec.structs.asdict(self._check(given))
        known = {k: v for k, v in given.items() if k in self.names}
        named = msgspec.structs.asdict(self._check(known))
        for name in given.keys() - self.names:
            if not isinstance(name, str):
                raise errors.InvalidArgumentsError("argument names are strings", path="$")
            named[name] = check(given[name], self.extra, f"$.{name}")
        return named

    def _explain(self, e: msgspec.ValidationError) -> errors.InvalidArgumentsError:
        what, path = split_message(str(e))
        hint = ""
        if m := _UNKNOWN.fullmatch(what):
            what = f"unexpected argument {m[1][:64]!r}" if path == "$" else what
            hint = suggest(m[1], self.names) if path == "$" else ""
            path = f"{path}.{m[1][:64]}"
        elif m := _MISSING.fullmatch(what):
            what = f"missing argument {m[1]!r}" if path == "$" else what
            path = f"{path}.{m[1]}"
        return errors.InvalidArgumentsError(f"{what} at {path}", path=path, hint=hint)


_MESSAGE: Final = re.compile(r"(?P<what>.*?)(?: - at (?:`key` in )?`(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)


def split_message(text: str) -> tuple[str, str]:
    """Takes msgspec's message apart: what is wrong, and where."""
    m = _MESSAGE.fullmatch(text)
    return (m["what"], m["path"] or "$") if m else (text, "$")


def check(value: object, hint: Any, path: str = "$") -> Any:
    """Checks one value against a hint.

    Raises:
        InvalidArgumentsError: it doesn't fit; it has the path.
    """
    try:
        return msgspec.convert(value, hint, dec_hook=pass_through)
    except msgspec.ValidationError as e:
        plain = _plain(value)
        if plain is not value:
            return check(plain, hint, path)
        what, inner = split_message(str(e))
        path += inner.removeprefix("$")
        text = f"{what} at {path}"
        raise errors.InvalidArgumentsError(text, path=path) from None


def suggest(name: str, among: collections.abc.Iterable[str]) -> str:
    """Asks whether the nearest name was meant; empty when none is near."""
    near = difflib.get_close_matches(name[:64], list(among), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


def pass_through(hint: Any, value: Any) -> Any:
    """Accepts what is of the class that the hint names; msgspec knows only its own types."""
    kind = get_origin(hint) or hint
    try:
        fits = isinstance(value, kind)
    except TypeError:  # a protocol that can't be checked
        return value
    if fits:
        return value
    msg = f"Expected `{errors.qualified_name(kind)}`, got `{errors.qualified_name(type(value))}`"
    raise TypeError(msg)  # msgspec adds the path


def _plain(value: Any, depth: int = 0) -> Any:
    """Replaces numpy's scalars, which msgspec takes for no numbers; else gives the value itself."""
    np = sys.modules.get("numpy")
    if np is None or depth > 32:
        return value
    if isinstance(value, np.generic):
        plain = value.item()
        return value if isinstance(plain, np.generic) else plain
    if type(value) is dict:
        made = {k: _plain(v, depth + 1) for k, v in value.items()}
        return made if any(made[k] is not v for k, v in value.items()) else value
    if type(value) is list:
        items = [_plain(v, depth + 1) for v in value]
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    return value


# Reading a signature.


def read(name: str, function: Callable[..., Any], owner: type | None = None) -> Signature:
    """Reads a function's signature.

    Args:
        name: the tool's name, for errors.
        function: the function or bound method.
        owner: the class that it belongs to.

    Raises:
        DefinitionError: a parameter or a hint can't be a tool's.
    """
    known = _ahead.get(_key(name, function, owner))
    return _Reader(name, function, owner).read() if known is None else known


def read_ahead(name: str, function: Callable[..., Any], owner: type | None = None) -> None:
    """Reads a signature for every later read of it; what it can't be is left to that.

    Args:
        name: as for read.
        function: the function, or, with an owner, any method of the same function.
        owner: as for read.
    """
    with contextlib.suppress(DefinitionError):
        _ahead[_key(name, function, owner)] = _Reader(name, function, owner).read()


# By name, function, whether that's a method's, and owner.
_ahead: Final[dict[tuple[str, object, bool, type | None], Signature]] = {}


def _key(
    name: str, function: Callable[..., Any], owner: type | None
) -> tuple[str, object, bool, type | None]:
    plain = getattr(function, "__func__", None)
    return name, plain or function, plain is not None, owner


class _Reader:
    def __init__(self, name: str, function: Callable[..., Any], owner: type | None) -> None:
        self._tool = name
        self._function = function
        self._plain = getattr(function, "__func__", function)
        self._hints = self._resolve(owner)
        self._context = self._input = ""
        self._item: Any = Any
        self._extra: Any = None
        self._fields: list[Any] = []
        self._positional: list[str] = []

    def read(self) -> Signature:
        for parameter in inspect.signature(self._function).parameters.values():
            self._take(parameter)
        struct = self._struct()
        stream, is_async, output = self._result()
        return Signature(
            struct=struct,
            names=frozenset(struct.__struct_fields__),
            positional=tuple(self._positional),
            extra=self._extra,
            context=self._context,
            input=self._input,
            item=self._item,
            is_async=is_async,
            stream=stream,
            input_schema=self._input_schema(struct),
            output_schema=_output_schema(output),
        )

    def _resolve(self, owner: type | None) -> Mapping[str, Any]:
        hints = typing.get_type_hints
        try:
            try:
                return hints(self._plain, include_extras=True)
            except NameError:
                if owner is None:
                    raise
                # Classes inside of the class. Not at first: a tool may be named like a type.
                return hints(self._plain, localns=dict(vars(owner)), include_extras=True)
        except (NameError, TypeError, SyntaxError, AttributeError) as e:
            msg = (
                f"tool {self._tool!r}: a type hint can't be resolved: {e}; what it names must be "
                "imported at run time, not only for type checkers"
            )
            raise DefinitionError(msg) from e

    def _take(self, p: inspect.Parameter) -> None:
        hint = self._hints.get(p.name, Any)
        if p.kind is p.VAR_POSITIONAL:
            msg = f"tool {self._tool!r}: arguments have names; use a list instead of *{p.name}"
            raise DefinitionError(msg)
        if p.kind is p.VAR_KEYWORD:
            self._extra = hint
            self._require(p.name, hint)
        elif _without_none(hint) is Context:
            self._context = self._once(self._context, p, "Context")
        elif get_origin(hint) is Input or hint is Input:
            self._input = self._once(self._input, p, "Input")
            self._item = next(iter(get_args(hint)), Any)
            self._require(p.name, self._item)
        else:
            self._add(p, hint)

    def _once(self, before: str, p: inspect.Parameter, what: str) -> str:
        if before:
            msg = f"tool {self._tool!r}: two parameters are {what}: {before!r} and {p.name!r}"
            raise DefinitionError(msg)
        if p.kind is p.POSITIONAL_ONLY:
            msg = f"tool {self._tool!r}: {p.name!r} is given by name; put it after the '/'"
            raise DefinitionError(msg)
        return p.name

    def _add(self, p: inspect.Parameter, hint: Any) -> None:
        if hint is object:
            hint = Any  # the same, and msgspec needn't ask us
        self._require(p.name, hint)
        if p.kind is p.POSITIONAL_ONLY:
            self._positional.append(p.name)
        if p.default is p.empty:
            self._fields.append((p.name, hint))
        elif type(p.default) in _SIMPLE:
            self._fields.append((p.name, hint, p.default))
        else:
            default = p.default
            self._fields.append((p.name, hint, msgspec.field(default_factory=lambda: default)))

    def _require(self, parameter: str, hint: Any) -> None:
        """Makes sure that msgspec can check a hint."""
        try:
            msgspec.json.schema(hint, schema_hook=_custom_schema)
        except Exception as e:
            msg = (
                f"tool {self._tool!r}: arguments can't be checked against the hint of "
                f"{parameter!r}: {e}; use another one, or Any"
            )
            raise DefinitionError(msg) from e

    def _struct(self) -> type[msgspec.Struct]:
        name = re.sub(r"\W", "_", self._tool)
        return msgspec.defstruct(
            f"_arguments_of_{name}",
            self._fields,
            kw_only=True,
            forbid_unknown_fields=True,
            module=self._plain.__module__,
        )

    def _input_schema(self, struct: type[msgspec.Struct]) -> str:
        (ref,), defs = msgspec.json.schema_components([struct], schema_hook=_custom_schema)
        schema = dict(defs.pop(ref["$ref"].rsplit("/", 1)[-1]))
        schema.pop("title", None)
        if self._extra is not None:
            extra: dict[str, Any] = msgspec.json.schema(self._extra, schema_hook=_custom_schema)
            defs.update(extra.pop("$defs", {}))
            schema["additionalProperties"] = extra or True
        if defs:
            schema["$defs"] = defs
        return json.dumps(schema)

    def _result(self) -> tuple[bool, bool, Any]:
        """Tells whether it streams, whether it's async, and the hint of what comes out."""
        function = inspect.unwrap(self._plain)
        hint = self._hints.get("return", Any)
        is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        yields = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        origin: object = get_origin(hint) or hint
        if _among(origin, _STREAMS) or (yields and _among(origin, _MAYBE_STREAMS)):
            is_async = is_async or _among(origin, _ASYNC)
            return True, is_async, next(iter(get_args(hint)), Any)
        return yields, is_async, Any if yields else hint


def _among(origin: object, kinds: tuple[object, ...]) -> bool:
    return any(origin is kind for kind in kinds)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (typing.Union, types.UnionType):
        left = [a for a in get_args(hint) if a is not type(None)]
        return left[0] if len(left) == 1 else hint
    return hint


def _custom_schema(kind: Any) -> dict[str, Any]:
    return {"description": errors.qualified_name(get_origin(kind) or kind)}


def _output_schema(hint: Any) -> str:
    if hint is Any or isinstance(hint, TypeVar):
        return ""
    try:
        return json.dumps(msgspec.json.schema(hint, schema_hook=_custom_schema))
    except Exception:  # noqa: BLE001  a hint that only type checkers understand
        return ""
