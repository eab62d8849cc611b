"""Building what msgspec encodes without losing a type."""

from __future__ import annotations

# A value's type is what this module finds out; nothing is known before.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false
import contextlib
import re
from typing import TYPE_CHECKING, Any, Final

from msgspec.msgpack import Ext

from snakepit._values import codes
from snakepit._values.codes import MAX_DEPTH, Marker, encoder
from snakepit._values.convert import simpler
from snakepit._values.exact import EXACT, SCALARS, TOO_DEEP, Unencodable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MAX_REPR: Final = 200
_CONTAINERS: Final = frozenset({list, dict})
_PLAIN_ANYWAY: Final = frozenset({type(None), bool, float, bytes})


def is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in SCALARS:
        return True
    items: Iterable[Any] = value
    if kind is dict:
        if not SCALARS.issuperset(map(type, value)):
            return False
        items = value.values()
    elif kind is not list:
        return False
    inner = set(map(type, items)) - SCALARS
    if not inner:
        return True
    if depth >= MAX_DEPTH - 1 or not inner <= _CONTAINERS:
        return False
    return all(is_plain(v, depth + 1) for v in list(items) if type(v) in _CONTAINERS)


class Builder:
    """Turns any value into one that msgspec encodes without loss."""

    def __init__(self, *, strict: bool, reprs: bool) -> None:
        self._strict = strict
        self._reprs = reprs
        self._path: list[object] = []
        self._open: set[int] = set()  # the containers that we're inside of

    def build(self, value: object) -> Any:
        """Build the value, or its marker."""
        try:
            return self._build(value)
        except Unencodable as e:
            return self._marker(value, str(e))
        except RecursionError:
            return self._marker(value, TOO_DEEP)

    def _build(self, value: Any) -> Any:
        exact = EXACT.get(type(value))
        if exact is not None:
            return exact(value)
        container = _CONTAINER_METHODS.get(type(value))
        if container is None:
            return self._converted(value)
        self._enter(value)
        try:
            return container(self, value)
        finally:
            self._open.discard(id(value))

    def _enter(self, value: object) -> None:
        if id(value) in self._open:
            raise Unencodable("it contains itself")
        if len(self._open) >= MAX_DEPTH:
            raise Unencodable(TOO_DEEP)
        self._open.add(id(value))

    def _converted(self, value: Any) -> Any:
        """Build what the first conversion that fits makes of the value."""
        self._enter(value)
        try:
            found = simpler(value)
            return found if type(found) is Ext else self._build(found)
        finally:
            self._open.discard(id(value))

    def _items(self, values: Iterable[Any]) -> list[Any]:
        out: list[Any] = []
        for i, v in enumerate(list(values)):
            if type(v) in _PLAIN_ANYWAY:
                out.append(v)
                continue
            self._path.append(i)
            out.append(self.build(v))
            self._path.pop()
        return out

    def _dict(self, value: dict[Any, Any]) -> Any:
        items = list(value.items())
        keys = [k for k, _ in items]
        built: list[Any] = []
        for k, v in items:
            self._path.append(k)
            built.append(self.build(v))
            self._path.pop()
        if all(type(k) is str or type(k) in _PLAIN_ANYWAY for k in keys):
            with contextlib.suppress(UnicodeEncodeError):
                for k in keys:
                    if type(k) is str:
                        k.encode()
                return dict(zip(keys, built, strict=True))
        pairs = [[self.build(k), v] for k, v in zip(keys, built, strict=True)]
        if all(type(k) in SCALARS for k, _ in pairs):
            return dict(pairs)
        return Ext(codes.MAP, encoder.encode(pairs))

    def _sequence(self, code: int, values: Iterable[Any]) -> Ext:
        return Ext(code, encoder.encode(self._items(values)))

    def list_(self, value: list[Any]) -> Any:
        return self._items(value)

    def dict_(self, value: dict[Any, Any]) -> Any:
        return self._dict(value)

    def tuple_(self, value: tuple[Any, ...]) -> Any:
        return self._sequence(codes.TUPLE, value)

    def set_(self, value: set[Any]) -> Any:
        return self._sequence(codes.SET, value)

    def frozenset_(self, value: frozenset[Any]) -> Any:
        return self._sequence(codes.FROZENSET, value)

    def _marker(self, value: object, why: str) -> Ext:
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        if self._strict:
            raise _unencodable_error(_path(self._path), name, why)
        text = _safe_repr(value) if self._reprs else None
        return Ext(codes.MARKER, encoder.encode(Marker(type=name, why=why, repr=text)))


def _unencodable_error(path: str, name: str, why: str) -> Exception:
    from snakepit.errors import InvalidResultError  # noqa: PLC0415 - it would be a circle

    return InvalidResultError(f"{path}: {name} can't be encoded: {why}", path=path)


def _path(segments: list[object]) -> str:
    out = "$"
    for s in segments:
        if isinstance(s, str):
            out += f".{s}" if s.isidentifier() else f"[{ascii(s)[:64]}]"
        elif isinstance(s, int):
            out += f"[{s}]"
        else:
            out += f"[{type(s).__name__}]"
    return out


_SECRETS: Final = re.compile(
    r"(?i)\b(?:sk|pk|ghp|gho|xox[abp])[-_][\w-]{8,}"
    r"|\b(?:AKIA|AIza)[\w-]{12,}"
    r"|\beyJ[\w-]+\.[\w.-]+"
    r"|\bbearer\s+\S+"
    r"|(?<![a-z])[\w-]*(?:password|passwd|secret|token|api[-_]?key|authorization)[\w-]*"
    r"['\"]?\s*[=:]\s*(?:'[^']*'?|\"[^\"]*\"?|\S+)"
)


def _safe_repr(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - user code
        return "<repr failed>"
    text = _SECRETS.sub("<redacted>", text[: 4 * _MAX_REPR])
    return text[:_MAX_REPR].encode("utf-8", "replace").decode()


_CONTAINER_METHODS: Final[dict[type, Callable[[Builder, Any], Any]]] = {
    list: Builder.list_,
    dict: Builder.dict_,
    tuple: Builder.tuple_,
    set: Builder.set_,
    frozenset: Builder.frozenset_,
}
