"""How payloads are written: msgpack as a rule, JSON for whoever asks for it over gRPC."""

# A value's type is what this module finds out.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportPrivateUsage=false

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from snakepit import _values, errors

if TYPE_CHECKING:
    from collections.abc import Sequence


class Codec(Protocol):
    """Turns values into payloads and back."""

    def decode(self, data: bytes) -> Any:
        """Decodes a payload.

        Raises:
            InvalidArgumentsError: it's no value.
        """
        ...

    def encode(self, value: object, *, strict: bool) -> bytes:
        """Encodes a value; ``strict`` raises InvalidResultError where there would be a marker."""
        ...

    def join(self, chunks: Sequence[bytes]) -> bytes:
        """Makes encoded values one list."""
        ...


class _Msgpack:
    def decode(self, data: bytes) -> Any:
        try:
            return _values.decode(data)
        except _values.DecodeError as e:
            raise errors.InvalidArgumentsError(str(e), path="$") from None

    def encode(self, value: object, *, strict: bool) -> bytes:
        return _values.encode(value, strict=strict)

    def join(self, chunks: Sequence[bytes]) -> bytes:
        count = len(chunks)
        if count < 16:
            head = bytes((0x90 | count,))
        elif count < 1 << 16:
            head = b"\xdc" + count.to_bytes(2)
        else:
            head = b"\xdd" + count.to_bytes(4)
        return head + b"".join(chunks)


class _Json:
    def decode(self, data: bytes) -> Any:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError) as e:
            text = f"bad JSON: {e}"
            raise errors.InvalidArgumentsError(text, path="$") from None

    def encode(self, value: object, *, strict: bool) -> bytes:
        # The types that travel are those of msgpack; JSON is one more way to write them.
        travelled = _values.decode(_values.encode(value, strict=strict))
        return msgspec.json.encode(_readable(travelled))

    def join(self, chunks: Sequence[bytes]) -> bytes:
        return b"[" + b",".join(chunks) + b"]"


def _readable(value: Any) -> Any:
    """Makes a value one that JSON has, as proto/VALUES.md says; readable, not always reversible."""
    kind = type(value)
    if kind is dict:
        return _readable_dict(value)
    if kind in (list, tuple, set, frozenset):
        return [_readable(v) for v in value]
    if kind is float and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if kind is str:
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, _values.Marker):
        return {"$marker": {"type": value.type, "why": value.why}}
    if isinstance(value, complex):
        return {"real": _readable(value.real), "imag": _readable(value.imag)}
    if isinstance(value, msgspec.msgpack.Ext):
        return {"$ext": [value.code, base64.b64encode(value.data).decode()]}
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if not isinstance(value, bytes | bytearray) and hasattr(value, "tolist"):
        return _readable(value.tolist())
    return value


def _readable_dict(value: dict[Any, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for k, v in value.items():
        key = _readable(k)
        out[key if type(key) is str else msgspec.json.encode(key).decode()] = _readable(v)
    return out


MSGPACK: Final[Codec] = _Msgpack()
JSON: Final[Codec] = _Json()


def codec_of(content_type: str) -> Codec:
    """Finds the codec that a caller names; empty means msgpack.

    Raises:
        InvalidArgumentsError: there is none of that name.
    """
    match content_type:
        case "" | "application/msgpack":
            return MSGPACK
        case "application/json":
            return JSON
        case _:
            text = f"content type {content_type[:80]!r} isn't known"
            hint = "use application/msgpack or application/json"
            raise errors.InvalidArgumentsError(text, hint=hint)
