"""Decoding: nothing that the data names is ever run."""

from __future__ import annotations

# A value's type is what this module finds out; nothing is known before.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false
import array
import datetime as dt
import decimal
import importlib
import math
import re
import struct
import sys
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any, Final

from msgspec.msgpack import Decoder, Ext

from snakepit._values import codes
from snakepit._values.codes import DATETIME_TEXT, KIND_OF_FORMAT, TIME_TEXT, Marker

if TYPE_CHECKING:
    from collections.abc import Callable


def _to_bigint(data: memoryview) -> int:
    if not data or data[0] > 1:
        raise ValueError("bigint without a sign")
    magnitude = int.from_bytes(data[1:])
    return -magnitude if data[0] else magnitude


def _to_datetime(data: memoryview) -> dt.datetime:
    m = DATETIME_TEXT.fullmatch(str(data, "ascii"))
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
    m = TIME_TEXT.fullmatch(str(data, "ascii"))
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
    items = decoder.decode(data)
    if not isinstance(items, list):
        raise TypeError("expected an array")
    return items


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
        return Ext(codes.NDARRAY, bytes(data))
    return _elements(np, dtype, raw).reshape(shape).copy()


def _to_scalar(data: memoryview) -> Any:
    dtype, raw = _list_of(data)
    np = _installed("numpy")
    if np is None:
        return Ext(codes.SCALAR, bytes(data))
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
        return Ext(codes.MEMORYVIEW, bytes(data))
    if math.prod(shape) * int(dtype[2:]) != len(raw):
        raise ValueError("shape and elements don't fit together")
    view = memoryview(raw)
    if 0 in shape:
        return view.cast(form)  # type: ignore[call-overload]
    return view.cast(form, shape)  # type: ignore[call-overload]


def _to_array(data: memoryview) -> Any:
    dtype, _, raw = _array_parts(data)
    form = _format(dtype, "@bBhHiIlLqQfd")
    return Ext(codes.ARRAY, bytes(data)) if form is None else array.array(form, raw)


def _format(dtype: str, among: str) -> str | None:
    """Find the native format that a dtype names; None where there is none."""
    if dtype[0] not in ("|", "<" if sys.byteorder == "little" else ">"):
        return None
    for form in among[1:]:
        if f"{KIND_OF_FORMAT[form]}{struct.calcsize(form)}" == dtype[1:]:
            return form
    return None


def _to_arrow(data: memoryview) -> Any:
    pa = _installed("pyarrow")
    # Before 15 it unpickles what a schema holds.
    if pa is None or int(pa.__version__.split(".")[0]) < 15:
        return Ext(codes.ARROW, bytes(data))
    with pa.ipc.open_stream(bytes(data[1:])) as stream:
        table = stream.read_all()
    if data[0] == ord("T"):
        return table
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _to_map(data: memoryview) -> dict[Any, Any]:
    return dict(_list_of(data))


_DECODERS: Final[dict[int, Callable[[memoryview], Any]]] = {
    codes.BIGINT: _to_bigint,
    codes.DATETIME: _to_datetime,
    codes.DATE: lambda d: dt.date.fromisoformat(str(d, "ascii")),
    codes.TIME: _to_time,
    codes.TIMEDELTA: _to_timedelta,
    codes.DECIMAL: lambda d: decimal.Decimal(str(d, "ascii")),
    codes.UUID: lambda d: uuid.UUID(bytes=bytes(d)),
    codes.TUPLE: lambda d: tuple(_list_of(d)),
    codes.SET: lambda d: set(_list_of(d)),
    codes.FROZENSET: lambda d: frozenset(_list_of(d)),
    codes.COMPLEX: _to_complex,
    codes.TEXT: _to_text,
    codes.BYTEARRAY: bytearray,
    codes.NDARRAY: _to_ndarray,
    codes.SCALAR: _to_scalar,
    codes.MEMORYVIEW: _to_memoryview,
    codes.ARRAY: _to_array,
    codes.ARROW: _to_arrow,
    codes.MARKER: Decoder(Marker).decode,
    codes.MAP: _to_map,
}


def _ext_hook(code: int, data: memoryview) -> Any:
    known = _DECODERS.get(code)
    return Ext(code, bytes(data)) if known is None else known(data)


decoder: Final[Decoder[Any]] = Decoder(ext_hook=_ext_hook)
