"""The end of a plugin: what brings it about, and what happens then, in bounded time."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from snakepit.plugin._host import HostWatch

# Seconds from the request to the process's end: less than the two after which a go-plugin host
# kills. Callbacks get the first part, the server and the flushing the rest.
_BOUND = 1.5
_FOR_CALLBACKS = 1.1
_FOR_SERVER = 1.3

# How long running calls may go on after SIGTERM, in seconds. Shutdown grants nothing, as in
# go-plugin: the host closes its connection at once.
_TERM_GRACE = 0.8


class Reason(Enum):
    """Why a plugin ends."""

    SHUTDOWN = "shutdown"
    TERMINATED = "terminated"
    HOST_GONE = "host gone"
    ORPHANED = "orphaned"
    STOPPED = "stopped"


class Ending:
    """Waits on a thread of its own for a reason to end, and ends the process.

    Nothing that Python code does can hold it up, short of never giving the interpreter's lock
    away: each step runs on a thread of its own and is left behind when its time is over.
    """

    def __init__(
        self,
        watch: HostWatch,
        callbacks: Sequence[Callable[[], object]],
        stop_server: Callable[[float], None],
        tidy: Callable[[], None],
    ) -> None:
        """Prepares; start begins.

        Args:
            watch: tells whether the host is gone.
            callbacks: what to run first; may grow until then.
            stop_server: ends the server, leaving running calls the given seconds; may block.
            tidy: removes files; quick.
        """
        self._watch = watch
        self._stop_server = stop_server
        self._tidy = tidy
        self._callbacks = callbacks
        # A byte on it wakes the thread. A signal handler can't do much more than send one.
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._reason: Reason | None = None
        self._grace = 0.0
        self._mask = threading.local()

    def start(self) -> None:
        """Starts the thread, and listens to signals when called on the main thread."""
        threading.Thread(target=self._run, name="plugin-ending", daemon=True).start()
        if threading.current_thread() is threading.main_thread():
            self._listen_to_signals()
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(
                    before=self._hold_signals,
                    after_in_parent=self._release_signals,
                    after_in_child=self._forget_in_child,
                )

    def request(self, reason: Reason, grace: float = 0.0) -> None:
        """Asks for the end; from any thread, and from signal handlers."""
        if self._reason is None:
            self._grace = grace
            self._reason = reason
        self.ring()

    def ring(self) -> None:
        """Wakes the thread to look around."""
        with contextlib.suppress(OSError):  # full: it will wake anyway
            self._ringer.send(b"\0")

    def _listen_to_signals(self) -> None:
        # A terminal's Ctrl-C reaches the whole group; it's the host that acts on it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_term)
        # The handler waits for the main thread; this byte doesn't.
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(self._ringer.fileno(), warn_on_full_buffer=False)

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self.request(Reason.TERMINATED, _TERM_GRACE)

    # A forked child inherits our handlers and descriptors: told to terminate, it would end its
    # parent, also in the moment before it can let go of them. So SIGTERM waits that long.

    def _hold_signals(self) -> None:
        self._mask.kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _release_signals(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask.kept)

    def _forget_in_child(self) -> None:
        # The thread that forked is the child's main thread now.
        if signal.getsignal(signal.SIGTERM) == self._on_term:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._bell.close()
        self._ringer.close()
        self._release_signals()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._bell, selectors.EVENT_READ)
            pidfd = self._watch.pidfd
            if pidfd is not None:
                selector.register(pidfd, selectors.EVENT_READ)
            while self._reason is None:
                for key, _ in selector.select(self._watch.pause()):
                    if key.fileobj is self._bell:
                        self._read_bell()
                    else:
                        selector.unregister(key.fileobj)
                self._look_for_host()
        self._end(self._reason)

    def _read_bell(self) -> None:
        with contextlib.suppress(OSError):
            if signal.SIGTERM in self._bell.recv(4096):  # from set_wakeup_fd
                self.request(Reason.TERMINATED, _TERM_GRACE)

    def _look_for_host(self) -> None:
        with contextlib.suppress(OSError):  # out of descriptors, say: look again later
            if self._watch.gone(time.monotonic()):
                self.request(Reason.ORPHANED if self._watch.guarded else Reason.HOST_GONE)

    def _end(self, reason: Reason) -> None:
        if reason is not Reason.ORPHANED:  # else it should be dead by now
            self._end_in_order(reason)
        self._tidy()
        if reason in {Reason.HOST_GONE, Reason.ORPHANED} and _leads_its_group():
            os.killpg(0, signal.SIGKILL)  # us too
        os._exit(0)

    def _end_in_order(self, reason: Reason) -> None:
        began = time.monotonic()
        extra = self._grace if reason is Reason.STOPPED else 0.0
        with contextlib.suppress(RuntimeError):  # no more threads to be had
            _bounded(self._run_callbacks, began + _FOR_CALLBACKS)
            if reason is not Reason.HOST_GONE:  # else nobody is left to be told
                _bounded(lambda: self._stop_server(self._grace), began + _FOR_SERVER + extra)
            _bounded(_finish, began + _BOUND + extra)

    def _run_callbacks(self) -> None:
        for callback in list(self._callbacks):
            try:
                callback()
            except BaseException:  # noqa: BLE001  the others get their turn, and the process ends
                traceback.print_exc()


def _bounded(work: Callable[[], object], until: float) -> None:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(max(0.0, until - time.monotonic()))


def _finish() -> None:
    # multiprocessing ends its children by atexit, which os._exit doesn't run.
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for child in multiprocessing.active_children():
            child.kill()
    # Whoever holds one of these locks may be stuck.
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _leads_its_group() -> bool:
    return hasattr(os, "getpgrp") and os.getpgrp() == os.getpid()
