"""Values on the wire: msgpack with the extension types of proto/VALUES.md.

``encode`` never fails on a value: what can't travel becomes a marker. ``decode``
never runs anything that the data names.
"""

# A value's type is what this module finds out; nothing is known before.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import array
import collections
import collections.abc
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import importlib
import math
import os
import re
import struct
import sys
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BIGINT: Final = 1
DATETIME: Final = 2
DATE: Final = 3
TIME: Final = 4
TIMEDELTA: Final = 5
DECIMAL: Final = 6
UUID: Final = 7
TUPLE: Final = 8
SET: Final = 9
FROZENSET: Final = 10
COMPLEX: Final = 11
TEXT: Final = 12
BYTEARRAY: Final = 13
NDARRAY: Final = 14
SCALAR: Final = 15
MEMORYVIEW: Final = 16
ARRAY: Final = 17
ARROW: Final = 18
MARKER: Final = 19
MAP: Final = 20

MAX_DEPTH: Final = 128
_MAX_LISTED: Final = 1 << 20
_MAX_REPR: Final = 200
_MIN_INT: Final = -(1 << 63)
_MAX_INT: Final = (1 << 64) - 1

_encoder: Final = Encoder()


class Marker(msgspec.Struct, frozen=True, omit_defaults=True):
    """Stands where a value was that couldn't travel.

    Attributes:
        type: The value's class, with its module.
        why: Why it couldn't travel.
        repr: Its repr, cut and redacted; None unless the encoder was asked for it.
    """

    type: str
    why: str = "no encoding"
    repr: str | None = None


class DecodeError(ValueError):
    """The data isn't a value."""


def encode(value: object, *, strict: bool = False, reprs: bool = False) -> bytes:
    """Encode a value.

    Args:
        value: Anything. proto/VALUES.md says what becomes what.
        strict: Raise where a marker would be written.
        reprs: Give markers a repr, cut and redacted.

    Raises:
        InvalidResultError: Only with ``strict``; it has the path.
    """
    try:
        if _is_plain(value, 0):
            return _encoder.encode(value)
    except (OverflowError, UnicodeEncodeError, RuntimeError):
        pass  # a big int, a lone surrogate, or a dict that another thread changed
    return _encoder.encode(_Builder(strict=strict, reprs=reprs).build(value))


def decode(data: bytes | bytearray | memoryview) -> Any:
    """Decode a value.

    Raises:
        DecodeError: The data isn't exactly one value.
    """
    try:
        return _decoder.decode(data)
    except RecursionError:
        raise _bad("nested too deep") from None
    except _DECODE_ERRORS as e:
        raise _bad(str(e)) from e


_DECODE_ERRORS: Final = (
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    ArithmeticError,
    OSError,  # from pyarrow
    struct.error,
)


def _bad(what: str) -> DecodeError:
    return DecodeError(f"bad value: {what}")


# Encoding. A plain value is one that msgspec encodes without losing a type.

_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
_CONTAINERS: Final = frozenset({list, dict})


def _is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _SCALARS:
        return True
    items: Iterable[Any] = value
    if kind is dict:
        if not _SCALARS.issuperset(map(type, value)):
            return False
        items = value.values()
    elif kind is not list:
        return False
    inner = set(map(type, items)) - _SCALARS
    if not inner:
        return True
    if depth >= MAX_DEPTH - 1 or not inner <= _CONTAINERS:
        return False
    return all(_is_plain(v, depth + 1) for v in list(items) if type(v) in _CONTAINERS)


_NO_ENCODING: Final = "no encoding"
_TOO_DEEP: Final = f"deeper than {MAX_DEPTH}"


class _Unencodable(Exception):  # noqa: N818 - it's a signal, not an error that anyone sees
    """The value becomes a marker; the argument says why."""


class _Builder:
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
        except _Unencodable as e:
            return self._marker(value, str(e))
        except RecursionError:
            return self._marker(value, _TOO_DEEP)

    def _build(self, value: Any) -> Any:
        exact = _EXACT.get(type(value))
        if exact is not None:
            return exact(value)
        container = _EXACT_CONTAINERS.get(type(value))
        if container is None:
            return self._converted(value)
        self._enter(value)
        try:
            return container(self, value)
        finally:
            self._open.discard(id(value))

    def _enter(self, value: object) -> None:
        if id(value) in self._open:
            raise _Unencodable("it contains itself")
        if len(self._open) >= MAX_DEPTH:
            raise _Unencodable(_TOO_DEEP)
        self._open.add(id(value))

    def _converted(self, value: Any) -> Any:
        """Build what the first conversion that fits makes of the value."""
        self._enter(value)
        try:
            found = _simpler(value)
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
        if all(type(k) in _SCALARS for k, _ in pairs):
            return dict(pairs)
        return Ext(MAP, _encoder.encode(pairs))

    def _sequence(self, code: int, values: Iterable[Any]) -> Ext:
        return Ext(code, _encoder.encode(self._items(values)))

    def list_(self, value: list[Any]) -> Any:
        return self._items(value)

    def dict_(self, value: dict[Any, Any]) -> Any:
        return self._dict(value)

    def tuple_(self, value: tuple[Any, ...]) -> Any:
        return self._sequence(TUPLE, value)

    def set_(self, value: set[Any]) -> Any:
        return self._sequence(SET, value)

    def frozenset_(self, value: frozenset[Any]) -> Any:
        return self._sequence(FROZENSET, value)

    def _marker(self, value: object, why: str) -> Ext:
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        if self._strict:
            raise _unencodable_error(_path(self._path), name, why)
        text = _safe_repr(value) if self._reprs else None
        return Ext(MARKER, _encoder.encode(Marker(type=name, why=why, repr=text)))


def _unencodable_error(path: str, name: str, why: str) -> Exception:
    from snakepit.errors import InvalidResultError  # noqa: PLC0415 - it would be a circle

    return InvalidResultError(f"{path}: {name} can't be encoded: {why}", path=path)


def _simpler(value: Any) -> Any:
    """Give something that's nearer to msgpack than the value."""
    if isinstance(value, type):
        raise _Unencodable(_NO_ENCODING)
    for convert in _CONVERSIONS:
        try:
            found = convert(value)
        except Exception:  # noqa: BLE001, S112 - user code; the next conversion may do
            continue
        if found is not _NO:
            return found
    raise _Unencodable(_NO_ENCODING)


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


# What has one encoding, by exact type.


def _int(value: int) -> Any:
    if _MIN_INT <= value <= _MAX_INT:
        return value
    size = (value.bit_length() + 7) // 8
    return Ext(BIGINT, (b"\x01" if value < 0 else b"\x00") + abs(value).to_bytes(size))


def _str(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return Ext(TEXT, value.encode("utf-8", "surrogatepass"))
    return value


_DATETIME_TEXT: Final = re.compile(
    r"(?P<local>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?)"
    r"(?P<offset>Z|[+-]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?(?:\[(?P<zone>[\w+/-]{1,64})\])?",
    re.ASCII,
)
_TIME_TEXT: Final = re.compile(
    r"(?P<local>\d\d:\d\d:\d\d(?:\.\d{1,9})?)"
    r"(?P<offset>Z|[+-]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?(?:\[(?P<zone>[\w+/-]{1,64})\])?",
    re.ASCII,
)


def _zone_name(zone: dt.tzinfo | None) -> str:
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)  # zoneinfo; pytz
    return f"[{name}]" if isinstance(name, str) else ""


def _datetime(value: dt.datetime) -> Any:
    text = value.isoformat() + _zone_name(value.tzinfo)
    if not _DATETIME_TEXT.fullmatch(text):  # pandas' NaT is a datetime
        raise _Unencodable(_NO_ENCODING)
    return Ext(DATETIME, text.encode())


def _date(value: dt.date) -> Any:
    return Ext(DATE, value.isoformat().encode())


def _time(value: dt.time) -> Any:
    text = value.isoformat() + _zone_name(value.tzinfo)
    return Ext(TIME, text.encode())


def _timedelta(value: dt.timedelta) -> Any:
    return Ext(TIMEDELTA, struct.pack(">iII", value.days, value.seconds, value.microseconds * 1000))


_EXACT: Final[dict[type, Callable[[Any], Any]]] = {
    **dict.fromkeys(_SCALARS, lambda v: v),
    int: _int,
    str: _str,
    bytearray: lambda v: Ext(BYTEARRAY, bytes(v)),
    dt.datetime: _datetime,
    dt.date: _date,
    dt.time: _time,
    dt.timedelta: _timedelta,
    decimal.Decimal: lambda v: Ext(DECIMAL, str(v).encode()),
    uuid.UUID: lambda v: Ext(UUID, v.bytes),
    complex: lambda v: Ext(COMPLEX, struct.pack(">dd", v.real, v.imag)),
    Ext: lambda v: v,
    Marker: lambda v: Ext(MARKER, _encoder.encode(v)),
}
_EXACT_CONTAINERS: Final[dict[type, Callable[[_Builder, Any], Any]]] = {
    list: _Builder.list_,
    dict: _Builder.dict_,
    tuple: _Builder.tuple_,
    set: _Builder.set_,
    frozenset: _Builder.frozenset_,
}
_PLAIN_ANYWAY: Final = frozenset({type(None), bool, float, bytes})

# Conversions, in the order of proto/VALUES.md. Each gives _NO where it doesn't
# apply, an Ext, or something simpler to build instead.

_NO: Final = object()


def _from_numpy(value: Any) -> Any:
    np = sys.modules.get("numpy")
    if np is None:
        return _NO
    if isinstance(value, np.ma.MaskedArray):
        return value.tolist() if value.size <= _MAX_LISTED else _NO
    if isinstance(value, np.ndarray):
        return _ndarray(np, value)
    if isinstance(value, np.generic):
        dtype = value.dtype
        if dtype.kind in _DTYPE_KINDS and dtype.itemsize:
            return Ext(SCALAR, _encoder.encode([dtype.str, value.tobytes()]))
        return _NO if dtype.kind in "VO" else value.item()
    return _NO


def _ndarray(np: Any, value: Any) -> Any:
    dtype = value.dtype
    if dtype.kind == "T" or (dtype.kind in "SU" and not dtype.itemsize):
        return value.tolist() if value.size <= _MAX_LISTED else _NO
    if dtype.kind not in _DTYPE_KINDS:
        return _NO
    flat = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    return _array_ext(NDARRAY, dtype.str, value.shape, memoryview(flat))


def _array_ext(code: int, dtype: str, shape: Iterable[int], data: memoryview) -> Ext:
    """Build the extension with one copy of the data."""
    head = _encoder.encode([dtype, [int(n) for n in shape], None])[:-1]
    return Ext(code, b"".join((head, b"\xc6", struct.pack(">I", data.nbytes), data)))


def _from_enum(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else _NO


def _from_struct(value: Any) -> Any:
    if not isinstance(value, msgspec.Struct):
        return _NO
    out = {f.encode_name: getattr(value, f.name) for f in msgspec.structs.fields(value)}
    config = value.__struct_config__
    tag = {config.tag_field: config.tag} if config.tag_field else {}
    return tag | {k: v for k, v in out.items() if v is not msgspec.UNSET}


def _from_dataclass(value: Any) -> Any:
    if not dataclasses.is_dataclass(value):
        return _NO
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


def _from_attrs(value: Any) -> Any:
    fields = getattr(type(value), "__attrs_attrs__", None)
    if fields is None:
        return _NO
    return {f.name: getattr(value, f.name) for f in fields}


def _by_method(name: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        # Asked of the class: a mock answers to every name.
        return getattr(value, name)() if callable(getattr(type(value), name, None)) else _NO

    return convert


def _from_subclass(value: Any) -> Any:
    for base, plain in _BASES:
        if isinstance(value, base):
            return plain(value)
    return _NO


_BASES: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, lambda v: bytes(memoryview(v))),
    (bytearray, lambda v: bytearray(memoryview(v))),
    (complex, lambda v: complex(v.real, v.imag)),
    (dt.datetime, _datetime),
    (dt.date, lambda v: dt.date(v.year, v.month, v.day)),
    (dt.time, _time),
    (dt.timedelta, lambda v: dt.timedelta(v.days, v.seconds, v.microseconds)),
    (decimal.Decimal, decimal.Decimal),
    (uuid.UUID, lambda v: uuid.UUID(bytes=v.bytes)),
    (list, lambda v: list[Any](list.__iter__(v))),
    (dict, lambda v: dict[Any, Any](dict.items(v))),
    (tuple, lambda v: tuple[Any, ...](tuple.__iter__(v))),
    (set, lambda v: set[Any](set.__iter__(v))),
    (frozenset, lambda v: frozenset[Any](frozenset.__iter__(v))),
)


def _from_namedtuple(value: Any) -> Any:
    fields = getattr(type(value), "_fields", None)
    if fields is None or not isinstance(value, tuple):
        return _NO
    return dict(zip(fields, value, strict=True))


def _from_abstract(value: Any) -> Any:
    if isinstance(value, collections.abc.Mapping):
        return dict(value.items())
    if isinstance(value, range):
        return list(value) if len(value) <= _MAX_LISTED else _NO
    views = (collections.abc.KeysView, collections.abc.ItemsView, collections.abc.ValuesView)
    return list(value) if isinstance(value, (collections.deque, *views)) else _NO


def _from_array_method(value: Any) -> Any:
    np = sys.modules.get("numpy")
    kind = type(value)
    if np is None or not (hasattr(kind, "__array__") or hasattr(kind, "__array_interface__")):
        return _NO
    found = _tensor(np, value)
    return found if isinstance(found, np.ndarray) and found.dtype.kind in _DTYPE_KINDS else _NO


def _tensor(np: Any, value: Any) -> Any:
    """Fetch a tensor from its device, without its gradient, in a dtype that numpy has."""
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":
        value = value.float()
    for step in ("detach", "cpu"):
        if callable(getattr(type(value), step, None)):
            value = getattr(value, step)()
    return np.asarray(value)


def _from_buffer(value: Any) -> Any:
    if isinstance(value, array.array) and value.typecode not in "uw":
        return _array_ext(ARRAY, _dtype_of(memoryview(value)), (len(value),), memoryview(value))
    try:
        view = memoryview(value)
    except TypeError:
        return _NO
    data = view if view.c_contiguous else memoryview(view.tobytes())
    return _array_ext(MEMORYVIEW, _dtype_of(view), view.shape or (), data)


_KIND_OF_FORMAT: Final = (
    dict.fromkeys("bhilqn", "i")
    | dict.fromkeys("BHILQN", "u")
    | dict.fromkeys("fde", "f")
    | {"?": "b", "c": "S"}
)


def _dtype_of(view: memoryview) -> str:
    """Give the numpy name of a buffer's elements."""
    form = view.format.lstrip("@=<>!|")
    order = view.format[0] if view.format[0] in "<>" else "<" if sys.byteorder == "little" else ">"
    if view.format[0] == "!":
        order = ">"
    kind = _KIND_OF_FORMAT[form.removeprefix("<")]
    return f"{'|' if view.itemsize == 1 else order}{kind}{view.itemsize}"


def _from_arrow(value: Any) -> Any:
    pa = sys.modules.get("pyarrow")
    if pa is None or not isinstance(value, (pa.Table, pa.RecordBatch)):
        return _NO
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as out:
        out.write(value)
    kind = b"T" if isinstance(value, pa.Table) else b"B"
    return Ext(ARROW, kind + sink.getvalue().to_pybytes())


def _from_tolist(value: Any) -> Any:
    if hasattr(type(value), "nnz") or not callable(getattr(type(value), "tolist", None)):
        return _NO
    size: Any = getattr(value, "size", None)
    if callable(size):
        size = math.prod(size())  # pyright: ignore[reportCallIssue, reportArgumentType]
    if size is None:
        size = len(value)
    return value.tolist() if size <= _MAX_LISTED else _NO


def _from_path(value: Any) -> Any:
    return os.fsdecode(value) if isinstance(value, os.PathLike) else _NO


_CONVERSIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    _from_numpy,
    _from_enum,
    _from_struct,
    _from_dataclass,
    _from_attrs,
    _from_arrow,
    _by_method("model_dump"),
    _from_namedtuple,
    _from_subclass,
    _from_abstract,
    _by_method("to_dict"),
    _by_method("_asdict"),
    _from_array_method,
    _from_buffer,
    _from_path,
    _from_tolist,
    _by_method("isoformat"),
)

# Decoding.


def _to_bigint(data: memoryview) -> int:
    if not data or data[0] > 1:
        raise ValueError("bigint without a sign")
    magnitude = int.from_bytes(data[1:])
    return -magnitude if data[0] else magnitude


def _to_datetime(data: memoryview) -> dt.datetime:
    m = _DATETIME_TEXT.fullmatch(str(data, "ascii"))
    if m is None:
        raise ValueError("malformed datetime")
    value = dt.datetime.fromisoformat(m["local"] + (m["offset"] or ""))
    zone = _zone(m["zone"])
    if zone is None:
        return value
    if value.tzinfo is None:
        return value.replace(tzinfo=zone)
    for fold in (0, 1):  # the local time may occur twice; the offset says which is meant
        local = value.replace(tzinfo=zone, fold=fold)
        if local.utcoffset() == value.utcoffset():
            return local
    return value.astimezone(zone)  # the zone's rules differ here; the instant stays


def _to_time(data: memoryview) -> dt.time:
    m = _TIME_TEXT.fullmatch(str(data, "ascii"))
    if m is None:
        raise ValueError("malformed time")
    value = dt.time.fromisoformat(m["local"] + (m["offset"] or ""))
    zone = _zone(m["zone"])
    return value if zone is None else value.replace(tzinfo=zone)


def _zone(name: str | None) -> dt.tzinfo | None:
    if name is None:
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _to_timedelta(data: memoryview) -> dt.timedelta:
    days, seconds, nanos = struct.unpack(">iII", data)
    return dt.timedelta(days=days, seconds=seconds, microseconds=nanos // 1000)


def _to_complex(data: memoryview) -> complex:
    return complex(*struct.unpack(">dd", data))


def _to_text(data: memoryview) -> str:
    try:
        return str(data, "utf-8", "surrogatepass")
    except UnicodeDecodeError:  # bytes that were never text, as in a file's name from Go
        return str(data, "utf-8", "surrogateescape")


def _list_of(data: memoryview) -> list[Any]:
    items = _decoder.decode(data)
    if not isinstance(items, list):
        raise TypeError("expected an array")
    return items


_DTYPE_KINDS: Final = frozenset("biufcmMSU")
_DTYPE: Final = re.compile(r"[<>|=][biufcmMSU][1-9]\d{0,8}(?:\[\d{0,9}[a-zA-Zμ]{1,8}\])?")


def _dtype_text(dtype: object) -> str:
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        msg = f"dtype {dtype!r:.64} isn't allowed"
        raise ValueError(msg)
    return dtype


def _array_parts(data: memoryview) -> tuple[str, list[int], bytes]:
    dtype, shape, raw = _list_of(data)
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("shape isn't a list of lengths")
    if not isinstance(raw, bytes):
        raise TypeError("elements aren't bytes")
    return _dtype_text(dtype), shape, raw


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _to_ndarray(data: memoryview) -> Any:
    dtype, shape, raw = _array_parts(data)
    np = _installed("numpy")
    if np is None:
        return Ext(NDARRAY, bytes(data))
    return _elements(np, dtype, raw).reshape(shape).copy()


def _to_scalar(data: memoryview) -> Any:
    dtype, raw = _list_of(data)
    np = _installed("numpy")
    if np is None:
        return Ext(SCALAR, bytes(data))
    (value,) = _elements(np, _dtype_text(dtype), raw)
    return value


def _elements(np: Any, dtype: str, raw: bytes) -> Any:
    if dtype[1] == "U" and (np.frombuffer(raw, dtype[0] + "u4") > sys.maxunicode).any():
        raise ValueError("no such character")
    return np.frombuffer(raw, dtype=np.dtype(dtype))


def _to_memoryview(data: memoryview) -> Any:
    dtype, shape, raw = _array_parts(data)
    form = {"S1": "c"}.get(dtype[1:]) or _format(dtype, "@bBhHiIlLqQfd?")
    if form is None:
        return Ext(MEMORYVIEW, bytes(data))
    if math.prod(shape) * int(dtype[2:]) != len(raw):
        raise ValueError("shape and elements don't fit together")
    view = memoryview(raw)
    if 0 in shape:
        return view.cast(form)  # type: ignore[call-overload]
    return view.cast(form, shape)  # type: ignore[call-overload]


def _to_array(data: memoryview) -> Any:
    dtype, _, raw = _array_parts(data)
    form = _format(dtype, "@bBhHiIlLqQfd")
    return Ext(ARRAY, bytes(data)) if form is None else array.array(form, raw)


def _format(dtype: str, among: str) -> str | None:
    """Find the native format that a dtype names; None where there is none."""
    if dtype[0] not in ("|", "<" if sys.byteorder == "little" else ">"):
        return None
    for form in among[1:]:
        if f"{_KIND_OF_FORMAT[form]}{struct.calcsize(form)}" == dtype[1:]:
            return form
    return None


def _to_arrow(data: memoryview) -> Any:
    pa = _installed("pyarrow")
    # Before 15 it unpickles what a schema holds.
    if pa is None or int(pa.__version__.split(".")[0]) < 15:
        return Ext(ARROW, bytes(data))
    with pa.ipc.open_stream(bytes(data[1:])) as stream:
        table = stream.read_all()
    if data[0] == ord("T"):
        return table
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _to_map(data: memoryview) -> dict[Any, Any]:
    return dict(_list_of(data))


_DECODERS: Final[dict[int, Callable[[memoryview], Any]]] = {
    BIGINT: _to_bigint,
    DATETIME: _to_datetime,
    DATE: lambda d: dt.date.fromisoformat(str(d, "ascii")),
    TIME: _to_time,
    TIMEDELTA: _to_timedelta,
    DECIMAL: lambda d: decimal.Decimal(str(d, "ascii")),
    UUID: lambda d: uuid.UUID(bytes=bytes(d)),
    TUPLE: lambda d: tuple(_list_of(d)),
    SET: lambda d: set(_list_of(d)),
    FROZENSET: lambda d: frozenset(_list_of(d)),
    COMPLEX: _to_complex,
    TEXT: _to_text,
    BYTEARRAY: bytearray,
    NDARRAY: _to_ndarray,
    SCALAR: _to_scalar,
    MEMORYVIEW: _to_memoryview,
    ARRAY: _to_array,
    ARROW: _to_arrow,
    MARKER: Decoder(Marker).decode,
    MAP: _to_map,
}


def _ext_hook(code: int, data: memoryview) -> Any:
    known = _DECODERS.get(code)
    return Ext(code, bytes(data)) if known is None else known(data)


_decoder: Final[Decoder[Any]] = Decoder(ext_hook=_ext_hook)
