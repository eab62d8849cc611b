"""Types that have one encoding."""

from __future__ import annotations

import datetime as dt
import decimal
import struct
import uuid
from typing import TYPE_CHECKING, Any, Final

from msgspec.msgpack import Ext

from snakepit._values import codes
from snakepit._values.codes import DATETIME_TEXT, MAX_DEPTH, Marker, encoder

if TYPE_CHECKING:
    from collections.abc import Callable

_MIN_INT: Final = -(1 << 63)
_MAX_INT: Final = (1 << 64) - 1
SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
NO_ENCODING: Final = "no encoding"
TOO_DEEP: Final = f"deeper than {MAX_DEPTH}"


class Unencodable(Exception):  # noqa: N818 - it's a signal, not an error that anyone sees
    """The value becomes a marker; the argument says why."""


def _int(value: int) -> Any:
    if _MIN_INT <= value <= _MAX_INT:
        return value
    size = (value.bit_length() + 7) // 8
    return Ext(codes.BIGINT, (b"\x01" if value < 0 else b"\x00") + abs(value).to_bytes(size))


def _str(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return Ext(codes.TEXT, value.encode("utf-8", "surrogatepass"))
    return value


def _zone_name(zone: dt.tzinfo | None) -> str:
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)  # zoneinfo; pytz
    return f"[{name}]" if isinstance(name, str) else ""


def datetime_ext(value: dt.datetime) -> Any:
    text = value.isoformat() + _zone_name(value.tzinfo)
    if not DATETIME_TEXT.fullmatch(text):  # pandas' NaT is a datetime
        raise Unencodable(NO_ENCODING)
    return Ext(codes.DATETIME, text.encode())


def _date(value: dt.date) -> Any:
    return Ext(codes.DATE, value.isoformat().encode())


def time_ext(value: dt.time) -> Any:
    text = value.isoformat() + _zone_name(value.tzinfo)
    return Ext(codes.TIME, text.encode())


def _timedelta(value: dt.timedelta) -> Any:
    return Ext(
        codes.TIMEDELTA, struct.pack(">iII", value.days, value.seconds, value.microseconds * 1000)
    )


EXACT: Final[dict[type, Callable[[Any], Any]]] = {
    **dict.fromkeys(SCALARS, lambda v: v),
    int: _int,
    str: _str,
    bytearray: lambda v: Ext(codes.BYTEARRAY, bytes(v)),
    dt.datetime: datetime_ext,
    dt.date: _date,
    dt.time: time_ext,
    dt.timedelta: _timedelta,
    decimal.Decimal: lambda v: Ext(codes.DECIMAL, str(v).encode()),
    uuid.UUID: lambda v: Ext(codes.UUID, v.bytes),
    complex: lambda v: Ext(codes.COMPLEX, struct.pack(">dd", v.real, v.imag)),
    Ext: lambda v: v,
    Marker: lambda v: Ext(codes.MARKER, encoder.encode(v)),
}
