"""Conversions to something simpler, in the order of proto/VALUES.md.

Each gives NO where it doesn't apply, an Ext, or something to build instead.
"""

from __future__ import annotations

# A value's type is what this module finds out; nothing is known before.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false
import array
import collections
import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import math
import os
import struct
import sys
import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.msgpack import Ext

from snakepit._values import codes
from snakepit._values.codes import DTYPE_KINDS, KIND_OF_FORMAT, MAX_LISTED, encoder
from snakepit._values.exact import NO_ENCODING, Unencodable, datetime_ext, time_ext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NO: Final = object()


def _from_numpy(value: Any) -> Any:
    np = sys.modules.get("numpy")
    if np is None:
        return _NO
    if isinstance(value, np.ma.MaskedArray):
        return value.tolist() if value.size <= MAX_LISTED else _NO
    if isinstance(value, np.ndarray):
        return _ndarray(np, value)
    if isinstance(value, np.generic):
        dtype = value.dtype
        if dtype.kind in DTYPE_KINDS and dtype.itemsize:
            return Ext(codes.SCALAR, encoder.encode([dtype.str, value.tobytes()]))
        return _NO if dtype.kind in "VO" else value.item()
    return _NO


def _ndarray(np: Any, value: Any) -> Any:
    dtype = value.dtype
    if dtype.kind == "T" or (dtype.kind in "SU" and not dtype.itemsize):
        return value.tolist() if value.size <= MAX_LISTED else _NO
    if dtype.kind not in DTYPE_KINDS:
        return _NO
    flat = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    return _array_ext(codes.NDARRAY, dtype.str, value.shape, memoryview(flat))


def _array_ext(code: int, dtype: str, shape: Iterable[int], data: memoryview) -> Ext:
    """Build the extension with one copy of the data."""
    head = encoder.encode([dtype, [int(n) for n in shape], None])[:-1]
    return Ext(code, b"".join((head, b"\xc6", struct.pack(">I", data.nbytes), data)))


def _from_missing(value: Any) -> Any:
    """Pandas' words for "nothing here"; NaT would pass for a datetime otherwise."""
    pd = sys.modules.get("pandas")
    return None if pd is not None and (value is pd.NaT or value is pd.NA) else _NO


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
    (dt.datetime, datetime_ext),
    (dt.date, lambda v: dt.date(v.year, v.month, v.day)),
    (dt.time, time_ext),
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
        return list(value) if len(value) <= MAX_LISTED else _NO
    views = (collections.abc.KeysView, collections.abc.ItemsView, collections.abc.ValuesView)
    return list(value) if isinstance(value, (collections.deque, *views)) else _NO


def _from_array_method(value: Any) -> Any:
    np = sys.modules.get("numpy")
    kind = type(value)
    if np is None or not (hasattr(kind, "__array__") or hasattr(kind, "__array_interface__")):
        return _NO
    found = _tensor(np, value)
    return found if isinstance(found, np.ndarray) and found.dtype.kind in DTYPE_KINDS else _NO


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
        return _array_ext(
            codes.ARRAY, _dtype_of(memoryview(value)), (len(value),), memoryview(value)
        )
    try:
        view = memoryview(value)
    except TypeError:
        return _NO
    data = view if view.c_contiguous else memoryview(view.tobytes())
    return _array_ext(codes.MEMORYVIEW, _dtype_of(view), view.shape or (), data)


def _dtype_of(view: memoryview) -> str:
    """Give the numpy name of a buffer's elements."""
    form = view.format.lstrip("@=<>!|")
    order = view.format[0] if view.format[0] in "<>" else "<" if sys.byteorder == "little" else ">"
    if view.format[0] == "!":
        order = ">"
    kind = KIND_OF_FORMAT[form.removeprefix("<")]
    return f"{'|' if view.itemsize == 1 else order}{kind}{view.itemsize}"


def _from_arrow(value: Any) -> Any:
    pa = sys.modules.get("pyarrow")
    if pa is None or not isinstance(value, (pa.Table, pa.RecordBatch)):
        return _NO
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as out:
        out.write(value)
    kind = b"T" if isinstance(value, pa.Table) else b"B"
    return Ext(codes.ARROW, kind + sink.getvalue().to_pybytes())


def _from_tolist(value: Any) -> Any:
    if hasattr(type(value), "nnz") or not callable(getattr(type(value), "tolist", None)):
        return _NO
    size: Any = getattr(value, "size", None)
    if callable(size):
        size = math.prod(size())  # pyright: ignore[reportCallIssue, reportArgumentType]
    if size is None:
        size = len(value)
    return value.tolist() if size <= MAX_LISTED else _NO


def _from_path(value: Any) -> Any:
    return os.fsdecode(value) if isinstance(value, os.PathLike) else _NO


_CONVERSIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    _from_numpy,
    _from_missing,
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


def simpler(value: Any) -> Any:
    """Give something that's nearer to msgpack than the value."""
    if isinstance(value, type):
        raise Unencodable(NO_ENCODING)
    for convert in _CONVERSIONS:
        try:
            found = convert(value)
        except Exception:  # noqa: BLE001, S112 - user code; the next conversion may do
            continue
        if found is not _NO:
            return found
    raise Unencodable(NO_ENCODING)
