"""Values on the wire: msgpack with the extension types of proto/VALUES.md.

``encode`` never fails on a value: what can't travel becomes a marker. ``decode``
never runs anything that the data names.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from snakepit._values.build import Builder, is_plain
from snakepit._values.codes import DecodeError, Marker, encoder
from snakepit._values.read import decoder

__all__ = ["DecodeError", "Marker", "decode", "encode"]


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
        if is_plain(value, 0):
            return encoder.encode(value)
    except (OverflowError, UnicodeEncodeError, RuntimeError):
        pass  # a big int, a lone surrogate, or a dict that another thread changed
    return encoder.encode(Builder(strict=strict, reprs=reprs).build(value))


def decode(data: bytes | bytearray | memoryview) -> Any:
    """Decode a value.

    Raises:
        DecodeError: The data isn't exactly one value.
    """
    try:
        return decoder.decode(data)
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
