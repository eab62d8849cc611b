"""Stopping a running tool from outside: when that may happen, and how."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Final, Self

from snakepit.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

# Ignored by default, so that a process which hasn't our handler isn't killed by it.
SIGNAL: Final = getattr(signal, "SIGURG", None)


class Token:
    """Decides whether the tool that runs in one thread may be interrupted right now.

    The interrupt is raised at most once, only while the tool's own code runs: never before, never
    after its result stands, never inside the SDK.
    """

    __slots__ = ("_lock", "_masked", "_send", "_thread", "armed", "raised", "reason", "sent")

    def __init__(self, send: Callable[[], bool]) -> None:
        """Makes a token, not armed yet, for a tool that will run in this thread.

        Args:
            send: has ``raise_here`` called in this thread, or an asynchronous exception raised;
                True means the latter.
        """
        self._lock = threading.Lock()
        self._send = send
        self._thread = threading.get_ident()
        self._masked = 0
        self.armed = False
        self.reason: str | None = None
        self.sent = False
        """An asynchronous exception is on its way."""
        self.raised = False

    def request(self, reason: str) -> None:
        """Asks for the interrupt; from any thread."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
            if self.armed and not self._masked:
                self.sent = self._send()

    def remind(self) -> bool:
        """Asks again if the interrupt was asked for and hasn't come; True while that may help.

        A signal that arrives just before a thread blocks in the kernel interrupts nothing.
        """
        with self._lock:
            if self.reason is None or self.raised or self.sent or not self.armed:
                return False
            if not self._masked:
                self.sent = self._send()
            return not self.sent

    def raise_here(self) -> None:
        """Raises if it may happen now; called by the signal's handler, in the tool's thread."""
        if self.armed and self.reason is not None and not self._masked and not self.raised:
            self.raised = True
            raise Cancelled(self.reason)

    def arm(self) -> None:
        """Lets the interrupt in; raises it if it was asked for before."""
        with self._lock:
            self.armed = True
        self.raise_here()

    def disarm(self) -> None:
        """Keeps the interrupt out from now on, and swallows one that is on its way."""
        while True:
            try:
                with self._lock:
                    self.armed = False
                    late, self.sent = self.sent and not self.raised, False
                if late:
                    _clear_async_exception()
            except Cancelled:
                continue  # this was it
            return

    def __enter__(self) -> Self:
        """Keeps the interrupt out while the SDK works for the tool."""
        if threading.get_ident() == self._thread:  # else a thread that the tool has started
            with self._lock:
                self._masked += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if threading.get_ident() != self._thread:
            return
        with self._lock:
            self._masked -= 1
        if raised is None and not self.sent:
            self.raise_here()


def run(token: Token, body: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Runs a tool's body so that an interrupt ends it, and nothing else is ever interrupted.

    Returns:
        What it returned, and None; or None, and what it raised.
    """
    ended = False
    value: Any = None
    failure: BaseException | None = None
    try:
        try:
            token.arm()
            value = body()
            ended = True
        except BaseException as e:  # noqa: BLE001  SystemExit too: a tool never ends its worker
            failure = e
        token.disarm()
    except Cancelled as e:  # it came between the body's end and the disarming
        token.disarm()
        if not ended and failure is None:
            failure = e
    if isinstance(failure, Cancelled):
        token.raised = True
    return (None, failure) if failure is not None else (value, None)


# In the main thread: a signal, whose handler raises. It interrupts sleeps, locks and system calls.


class SignalInterrupt:
    """Interrupts the main thread."""

    def __init__(self) -> None:
        """Installs the handler; must be called on the main thread."""
        self._token: Token | None = None
        self._thread = threading.get_ident()
        if SIGNAL is not None:
            signal.signal(SIGNAL, self._handle)

    def token(self) -> Token:
        """Makes the token of the tool that the main thread is about to run."""
        self._token = Token(self._send)
        return self._token

    def _send(self) -> bool:
        if SIGNAL is not None:
            signal.pthread_kill(self._thread, SIGNAL)
        return False  # the handler looks again

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        token = self._token
        if token is not None:
            token.raise_here()


# In other threads: an asynchronous exception, which waits for the next bytecode.


def thread_token() -> Token:
    """Makes a token for a tool that is about to run in this thread."""
    thread = threading.get_ident()
    return Token(lambda: _set_async_exception(thread, Cancelled))


def _set_async_exception(thread: int, kind: type[Cancelled] | None) -> bool:
    import ctypes  # noqa: PLC0415  few workers need it

    what = None if kind is None else ctypes.py_object(kind)
    count: int = ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)
    return count == 1


def _clear_async_exception() -> None:
    _set_async_exception(threading.get_ident(), None)
