"""What can go wrong, as exceptions: one class for what a caller would act on differently.

::

Error:
    ├── InvalidError             the call or what it carries is wrong; sending it again won't help
    │   ├── InvalidArgumentsError    the arguments don't fit the tool; ``path`` names the field
    │   ├── InvalidResultError       the result can't travel
    │   ├── InvalidToolNameError
    │   └── PayloadTooLargeError
    ├── NotFoundError            no such tool, session, pool or worker
    │   └── ToolNotFoundError
    ├── ExistsError              the name is taken
    ├── ConflictError            the state isn't what the call expected
    ├── FencedError              a newer owner has taken over
    ├── ExhaustedError           a queue or a quota is full; later it may work
    ├── UnavailableError         whoever should answer isn't there; later it may work
    │   └── StartFailedError         the adapter couldn't be set up
    ├── NotLeaderError           another node decides this
    ├── DeniedError              not allowed
    ├── ToolFailedError          the tool raised; ``exception`` says what
    ├── UnimplementedError
    ├── DeadlineError            the time was up
    ├── CallCancelledError       the caller gave up, or the host is gone
    └── InternalError            our mistake

    BaseException
    └── Cancelled                raised inside a tool that is being stopped

A class is what to act on; ``reason`` is what happened, more exactly. A reason that this version
doesn't know has the class that came with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from typing_extensions import override

__all__ = [
    "CallCancelledError",
    "Cancelled",
    "ConflictError",
    "DeadlineError",
    "DeniedError",
    "Error",
    "ExhaustedError",
    "ExistsError",
    "Exit",
    "FencedError",
    "InternalError",
    "InvalidArgumentsError",
    "InvalidError",
    "InvalidResultError",
    "InvalidToolNameError",
    "NotFoundError",
    "NotLeaderError",
    "PayloadTooLargeError",
    "RemoteException",
    "StartFailedError",
    "ToolFailedError",
    "ToolNotFoundError",
    "UnavailableError",
    "UnimplementedError",
    "Where",
]


class Cancelled(BaseException):
    """Raised inside a tool that is to stop: its caller gave up, or its time is over.

    It's no Exception, so that ``except Exception`` doesn't hold a tool back. Clean up in
    ``finally``, or catch it and raise it again.
    """

    def __init__(self, reason: str = "cancelled") -> None:
        super().__init__(reason)
        self.reason = reason
        """``cancelled``, ``deadline``, or another reason of the caller's."""


@dataclass(frozen=True, slots=True)
class Where:
    """Which part of the system an error is about. Empty fields don't apply."""

    node: str = ""
    pool: str = ""
    worker: str = ""
    session: str = ""
    tool: str = ""
    call: str = ""


@dataclass(frozen=True, slots=True)
class RemoteException:
    """A Python exception that was raised in another process."""

    type: str
    """The class, with its module where that isn't builtins: ``torch.OutOfMemoryError``."""
    bases: tuple[str, ...] = ()
    """The classes that it derives from, nearest first, without object."""
    message: str = ""
    """``str()`` of the exception."""
    traceback: str = ""
    """The formatted traceback, causes included."""
    notes: tuple[str, ...] = ()
    """What ``add_note`` attached."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended."""

    code: int = 0
    """The exit code; -1 when a signal ended it."""
    signal: str = ""
    """The signal's name, like SIGSEGV."""
    stderr: tuple[str, ...] = ()
    """The last lines of its standard error."""


class Error(Exception):
    """The root of everything that a call can fail with.

    A tool may raise these itself: they reach the caller with their reason, path and hint.
    """

    class_name: ClassVar[str] = "internal"
    """The class as it stands on the wire."""
    reason: str = "internal"
    """What happened, in one word of proto/errdefs."""

    def __init__(
        self,
        message: str = "",
        *,
        reason: str | None = None,
        path: str = "",
        hint: str = "",
        may_have_run: bool = False,
        where: Where | None = None,
        exception: RemoteException | None = None,
        exit: Exit | None = None,  # noqa: A002  the wire's word
        retry_after: float = 0.0,
    ) -> None:
        """Makes an error.

        Args:
            message: what happened, for people.
            reason: a reason of this class, when its own isn't meant.
            path: the field that is wrong, like ``$.pixels[3]``.
            hint: what to do about it.
            may_have_run: the call may have run, wholly or partly.
            where: what it is about.
            exception: the Python exception behind it.
            exit: how the process behind it ended.
            retry_after: how many seconds to wait before trying again; 0 when that isn't known.
        """
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        self.message = message
        self.path = path
        self.hint = hint
        self.may_have_run = may_have_run
        self.where = where if where is not None else Where()
        self.exception = exception
        self.exit = exit
        self.retry_after = retry_after

    @override
    def __str__(self) -> str:
        text = f"{self.reason}: {self.message}" if self.message else self.reason
        if self.may_have_run:
            text += "; it may have run"
        return f"{text}; {self.hint}" if self.hint else text


class InvalidError(Error):
    """The call or what it carries is wrong; sending it again won't help."""

    class_name = "invalid"
    reason = "invalid_arguments"


class InvalidArgumentsError(InvalidError):
    """The arguments don't fit the tool; ``path`` names the field."""


class InvalidResultError(InvalidError):
    """The result can't travel; ``path`` names the field."""

    reason = "invalid_result"


class InvalidToolNameError(InvalidError):
    """The name isn't 1 to 64 bytes of ``[A-Za-z0-9][A-Za-z0-9_.-]*``."""

    reason = "invalid_tool_name"


class PayloadTooLargeError(InvalidError):
    """A message is larger than its receiver takes."""

    reason = "payload_too_large"


class NotFoundError(Error):
    """No such tool, session, pool or worker."""

    class_name = "not_found"
    reason = "tool_not_found"


class ToolNotFoundError(NotFoundError):
    """No tool has this name."""


class ExistsError(Error):
    """The name is taken."""

    class_name = "exists"
    reason = "exists"


class ConflictError(Error):
    """The state isn't what the call expected."""

    class_name = "conflict"
    reason = "conflict"
    key: str = ""
    """The key of the session's state that has another version, where the SDK can tell."""
    version: int = 0
    """The version that this key has now; 0: it isn't there."""


class FencedError(Error):
    """A newer owner has taken over."""

    class_name = "fenced"
    reason = "fenced"


class ExhaustedError(Error):
    """A queue or a quota is full; later it may work."""

    class_name = "exhausted"
    reason = "queue_full"


class UnavailableError(Error):
    """Whoever should answer isn't there; later it may work."""

    class_name = "unavailable"
    reason = "host_unreachable"


class StartFailedError(UnavailableError):
    """The adapter couldn't be set up."""

    reason = "start_failed"


class NotLeaderError(Error):
    """Another node decides this."""

    class_name = "not_leader"
    reason = "not_leader"


class DeniedError(Error):
    """Not allowed."""

    class_name = "denied"
    reason = "permission_denied"


class ToolFailedError(Error):
    """The tool raised; ``exception`` says what, and ``raised`` tells whether it was of a class."""

    class_name = "tool_failed"
    reason = "python_exception"

    def raised(self, kind: type[BaseException] | str) -> bool:
        """Tells whether the tool raised an exception of a class, or of one derived from it.

        Args:
            kind: the class, or its name with its module: ``"torch.OutOfMemoryError"``.
        """
        name = kind if isinstance(kind, str) else qualified_name(kind)
        e = self.exception
        return e is not None and (name == e.type or name in e.bases)


class UnimplementedError(Error):
    """The other side can't do this."""

    class_name = "unimplemented"
    reason = "unimplemented"


class DeadlineError(Error):
    """The time was up."""

    class_name = "deadline"
    reason = "deadline"


class CallCancelledError(Error):
    """The caller gave up, or the host is gone."""

    class_name = "cancelled"
    reason = "cancelled"


class InternalError(Error):
    """A mistake in Snakepit."""

    class_name = "internal"
    reason = "internal"


CLASSES: Final[dict[str, type[Error]]] = {
    kind.class_name: kind
    for kind in (
        FencedError,
        NotLeaderError,
        ToolFailedError,
        InvalidError,
        NotFoundError,
        ExistsError,
        ConflictError,
        ExhaustedError,
        UnavailableError,
        DeniedError,
        UnimplementedError,
        DeadlineError,
        CallCancelledError,
        InternalError,
    )
}
"""The error classes by their names on the wire."""

REASONS: Final[dict[str, tuple[type[Error], str]]] = {
    "queue_timeout": (ExhaustedError, "RESOURCE_EXHAUSTED"),
    "queue_full": (ExhaustedError, "RESOURCE_EXHAUSTED"),
    "worker_busy": (ExhaustedError, "RESOURCE_EXHAUSTED"),
    "session_quota": (ExhaustedError, "RESOURCE_EXHAUSTED"),
    "rate_limited": (ExhaustedError, "RESOURCE_EXHAUSTED"),
    "disk_full": (ExhaustedError, "RESOURCE_EXHAUSTED"),
    "pool_not_found": (NotFoundError, "NOT_FOUND"),
    "tool_not_found": (ToolNotFoundError, "NOT_FOUND"),
    "session_not_found": (NotFoundError, "NOT_FOUND"),
    "session_expired": (NotFoundError, "NOT_FOUND"),
    "session_lost": (NotFoundError, "NOT_FOUND"),
    "worker_not_found": (NotFoundError, "NOT_FOUND"),
    "exists": (ExistsError, "ALREADY_EXISTS"),
    "conflict": (ConflictError, "FAILED_PRECONDITION"),
    "call_cycle": (ConflictError, "FAILED_PRECONDITION"),
    "session_worker_unavailable": (UnavailableError, "UNAVAILABLE"),
    "session_moved": (UnavailableError, "UNAVAILABLE"),
    "no_workers": (UnavailableError, "UNAVAILABLE"),
    "pool_starting": (UnavailableError, "UNAVAILABLE"),
    "draining": (UnavailableError, "UNAVAILABLE"),
    "start_failed": (StartFailedError, "UNAVAILABLE"),
    "worker_crashed": (UnavailableError, "UNAVAILABLE"),
    "worker_hung": (UnavailableError, "UNAVAILABLE"),
    "circuit_open": (UnavailableError, "UNAVAILABLE"),
    "no_quorum": (UnavailableError, "UNAVAILABLE"),
    "outcome_unknown": (UnavailableError, "UNAVAILABLE"),
    "host_unreachable": (UnavailableError, "UNAVAILABLE"),
    "invalid_arguments": (InvalidArgumentsError, "INVALID_ARGUMENT"),
    "invalid_tool_name": (InvalidToolNameError, "INVALID_ARGUMENT"),
    "invalid_config": (InvalidError, "INVALID_ARGUMENT"),
    "invalid_result": (InvalidResultError, "INVALID_ARGUMENT"),
    "payload_too_large": (PayloadTooLargeError, "INVALID_ARGUMENT"),
    "version_mismatch": (InvalidError, "INVALID_ARGUMENT"),
    "wrong_cluster": (InvalidError, "INVALID_ARGUMENT"),
    "protocol": (InvalidError, "INVALID_ARGUMENT"),
    "python_exception": (ToolFailedError, "UNKNOWN"),
    "not_leader": (NotLeaderError, "UNAVAILABLE"),
    "fenced": (FencedError, "FAILED_PRECONDITION"),
    "node_removed": (FencedError, "FAILED_PRECONDITION"),
    "unauthenticated": (DeniedError, "UNAUTHENTICATED"),
    "permission_denied": (DeniedError, "PERMISSION_DENIED"),
    "unimplemented": (UnimplementedError, "UNIMPLEMENTED"),
    "deadline": (DeadlineError, "DEADLINE_EXCEEDED"),
    "cancelled": (CallCancelledError, "CANCELLED"),
    "internal": (InternalError, "INTERNAL"),
}
"""For each reason its class and the name of its gRPC code; proto/errdefs has the same table."""


def qualified_name(kind: type) -> str:
    """Names a class, with its module where that isn't builtins."""
    module: str = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def make(reason: str, message: str = "", *, path: str = "", hint: str = "") -> Error:
    """Makes an error of the class that a reason belongs to."""
    kind = REASONS[reason][0]
    return kind(message, reason=reason, path=path, hint=hint)
