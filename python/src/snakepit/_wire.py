"""Errors and exceptions as they cross a lane or, as a status detail, gRPC."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import any_pb2

from snakepit import errors
from snakepit.v1 import error_pb2

if TYPE_CHECKING:
    from types import TracebackType

MAX_TEXT: Final = 16 * 1024
MAX_LIST: Final = 32

# gRPC over HTTP/2 carries errors in headers, which some peers limit to 8 KiB, base64 included.
_MAX_DETAIL: Final = 5 * 1024

_SDK: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100,PTH120  as in code objects
_OURS: Final = (_SDK, "<frozen importlib", "<frozen runpy")

# Read as "it never ran" without the flag.
_SOUNDS_UNRUN: Final = frozenset({"exhausted", "unavailable", "not_leader", "fenced"})


def cut(text: str, size: int = MAX_TEXT) -> str:
    """Cuts a text to so many bytes of UTF-8, and makes it one that UTF-8 can hold."""
    data = text.encode("utf-8", "backslashreplace")
    return data[:size].decode("utf-8", "ignore")


def _cut_front(text: str, size: int) -> str:
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= size:
        return data.decode()
    return "…\n" + data[len(data) - size + 4 :].decode("utf-8", "ignore")


def describe(raised: BaseException) -> errors.RemoteException:
    """Describes an exception for another process. Frames of the SDK's own are left out."""
    kind = type(raised)
    return errors.RemoteException(
        type=errors.qualified_name(kind),
        bases=tuple(errors.qualified_name(b) for b in kind.__mro__[1:-1]),
        message=_message(raised),
        traceback=_traceback(raised),
        notes=tuple(str(n) for n in getattr(raised, "__notes__", ())),
    )


def _message(raised: BaseException) -> str:
    try:
        return str(raised)
    except Exception:  # noqa: BLE001  the user's own __str__
        return "<str() failed>"


def _traceback(raised: BaseException) -> str:
    try:
        users = _users(raised.__traceback__)
        if users is None and not isinstance(raised, SyntaxError | TypeError | errors.Error):
            users = raised.__traceback__  # a mistake of ours, maybe
        formatted = traceback.TracebackException(type(raised), raised, users, compact=True)
        return "".join(formatted.format())
    except Exception as e:  # noqa: BLE001  the user's own __str__ or __repr__
        return f"{errors.qualified_name(type(raised))}: <no traceback: {type(e).__name__}>\n"


def _users(tb: TracebackType | None) -> TracebackType | None:
    """Skips the frames of the SDK that lead to the user's."""
    found = tb
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_OURS):
        found = found.tb_next
    return found


def as_error(raised: BaseException, *, tool: str = "", call: str = "") -> errors.Error:
    """Makes what came out of a tool an error for its caller."""
    where = errors.Where(tool=tool, call=call)
    if isinstance(raised, errors.Error):
        if raised.where == errors.Where():
            raised.where = where
        if raised.class_name in _SOUNDS_UNRUN:
            raised.may_have_run = True
        return raised
    described = describe(raised)
    message = f"{described.type}: {described.message}" if described.message else described.type
    failed = errors.ToolFailedError(cut(message), where=where, exception=described)
    failed.__cause__ = raised
    return failed


def to_proto(e: errors.Error) -> error_pb2.Error:
    """Converts an error for the wire, within the bounds of error.proto."""
    out = error_pb2.Error(
        reason=e.reason,
        message=cut(e.message),
        may_have_run=e.may_have_run,
        path=cut(e.path),
        hint=cut(e.hint),
        retry_after_us=int(min(max(e.retry_after, 0.0), 365 * 24 * 3600.0) * 1e6),
    )
    setattr(out, "class", e.class_name)
    if e.where != errors.Where():
        w = e.where
        out.where.CopyFrom(
            error_pb2.Where(
                node=cut(w.node),
                pool=cut(w.pool),
                worker=cut(w.worker),
                session=cut(w.session),
                tool=cut(w.tool),
                call=cut(w.call),
            )
        )
    if e.exception is not None:
        _exception_of(out).CopyFrom(_exception_to_proto(e.exception))
    if e.exit is not None:
        x = e.exit
        lines = [cut(line) for line in x.stderr[-MAX_LIST:]]
        out.exit.CopyFrom(error_pb2.Exit(code=x.code, signal=x.signal, stderr=lines))
    return out


def _exception_to_proto(x: errors.RemoteException) -> error_pb2.Exception:
    return error_pb2.Exception(
        type=cut(x.type),
        bases=[cut(b) for b in x.bases[:MAX_LIST]],
        message=cut(x.message),
        traceback=_cut_front(x.traceback, MAX_TEXT),
        notes=[cut(n) for n in x.notes[:MAX_LIST]],
    )


def _exception_of(p: error_pb2.Error) -> error_pb2.Exception:
    x: Any = p.exception  # in the stubs mypy takes it for the builtin
    found: error_pb2.Exception = x
    return found


def from_proto(p: error_pb2.Error) -> errors.Error:
    """The inverse of to_proto. An unknown reason keeps its name and has the class it came with."""
    known = errors.REASONS.get(p.reason)
    wire_class: str = getattr(p, "class")
    kind = known[0] if known else errors.CLASSES.get(wire_class, errors.InternalError)
    w, x, end = p.where, _exception_of(p), p.exit
    return kind(
        p.message,
        reason=p.reason or None,
        path=p.path,
        hint=p.hint,
        may_have_run=p.may_have_run,
        retry_after=p.retry_after_us / 1e6,
        where=errors.Where(w.node, w.pool, w.worker, w.session, w.tool, w.call),
        exception=errors.RemoteException(
            x.type, tuple(x.bases), x.message, x.traceback, tuple(x.notes)
        )
        if p.HasField("exception")
        else None,
        exit=errors.Exit(end.code, end.signal, tuple(end.stderr)) if p.HasField("exit") else None,
    )


def status_code(e: errors.Error) -> str:
    """Names the gRPC code of an error.

    Whatever may have run is ABORTED, since proxies and clients retry UNAVAILABLE.
    """
    if e.may_have_run:
        return "ABORTED"
    known = errors.REASONS.get(e.reason)
    if known is not None:
        return known[1]
    for kind, code in errors.REASONS.values():
        if kind.class_name == e.class_name:
            return code
    return "INTERNAL"


def status_detail(e: errors.Error, code: int, message: str) -> bytes:
    """Builds the value of grpc-status-details-bin: a google.rpc.Status that holds the error.

    That message isn't among protobuf's own, so its three fields are written by hand.
    """
    detail = any_pb2.Any()
    detail.Pack(_small(e))
    return b"".join(
        (
            b"\x08" + _varint(code),
            _field(b"\x12", message.encode("utf-8", "replace")),
            _field(b"\x1a", detail.SerializeToString()),
        )
    )


def _small(e: errors.Error) -> error_pb2.Error:
    """Converts an error so that it fits into a header: the traceback's end is worth the most."""
    p = to_proto(e)
    for size in (2048, 512, 128):
        if p.ByteSize() <= _MAX_DETAIL:
            break
        p.message = cut(p.message, size)
        p.hint = cut(p.hint, size)
        p.path = cut(p.path, size)
        if p.HasField("exception"):
            x = _exception_of(p)
            x.message, x.traceback = cut(x.message, size), _cut_front(x.traceback, size)
            bases, notes = [cut(b, 128) for b in x.bases[:8]], [cut(n, 128) for n in x.notes[:4]]
            del x.bases[:], x.notes[:]
            x.bases.extend(bases)
            x.notes.extend(notes)
    return p


def _field(tag: bytes, data: bytes) -> bytes:
    return tag + _varint(len(data)) + data


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)
