"""The extension codes of proto/VALUES.md, and what both directions share."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec.msgpack import Encoder

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
MAX_LISTED: Final = 1 << 20

encoder: Final = Encoder()

DATETIME_TEXT: Final = re.compile(
    r"(?P<local>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?)"
    r"(?P<offset>Z|[+-]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?(?:\[(?P<zone>[\w+/-]{1,64})\])?",
    re.ASCII,
)
TIME_TEXT: Final = re.compile(
    r"(?P<local>\d\d:\d\d:\d\d(?:\.\d{1,9})?)"
    r"(?P<offset>Z|[+-]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?(?:\[(?P<zone>[\w+/-]{1,64})\])?",
    re.ASCII,
)
DTYPE_KINDS: Final = frozenset("biufcmMSU")
KIND_OF_FORMAT: Final = (
    dict.fromkeys("bhilqn", "i")
    | dict.fromkeys("BHILQN", "u")
    | dict.fromkeys("fde", "f")
    | {"?": "b", "c": "S"}
)


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
