"""The main thread: it runs tools, and reads the lane while it has nothing to run.

Handing a call from a thread that reads to one that runs costs more than a small call itself. So
the main thread does both, and a second one, the understudy, reads only while a tool runs long.
The two never read at once: whoever holds ``turn`` may.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from snakepit._interrupt import SignalInterrupt
from snakepit.plugin._host import abandon_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakepit._call import Call
    from snakepit._dispatch import Dispatcher

# How often the understudy looks whether a tool runs long, in milliseconds; it takes over after one
# to two of these.
_TICK: Final = 2
# After so many ticks without a call it looks no more until it's roused.
_CALM: Final = 10


class Reader(Protocol):
    """A lane whose frames the stage's threads read."""

    def fileno(self) -> int:
        """The descriptor to wait for; -1 once it's closed."""
        ...

    def step(self) -> bool:
        """Reads what is there and acts on it, without blocking; False when the lane has ended."""
        ...

    def close(self) -> None:
        """Closes the descriptor."""
        ...


class Bell:
    """Wakes a thread that polls."""

    def __init__(self) -> None:
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)
        self._rung = False

    def ring(self) -> None:
        """Wakes it; from any thread, cheaply when it's rung already."""
        if not self._rung:
            self._rung = True
            with contextlib.suppress(OSError):
                os.write(self._write, b"\0")

    def clear(self) -> None:
        """Forgets the ringing; whoever calls it looks around afterwards."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 64)
        self._rung = False

    def close(self) -> None:
        """Closes the descriptors."""
        os.close(self.fd)
        os.close(self._write)

    def abandon(self) -> None:
        """Lets go, in a forked child, of what rings in the parent."""
        abandon_descriptors((self.fd, self._write))


class _Poller:
    """Polls one thread's bell, and the lane when asked to."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._alone = select.poll()
        self._alone.register(bell.fd, select.POLLIN)
        self._both = self._alone
        self._reader: Reader | None = None

    def wait(self, reader: Reader | None, timeout: float | None) -> bool:
        """Waits for at most so many milliseconds; True when the lane has something to read."""
        if reader is None:
            events = self._alone.poll(timeout)
        else:
            if reader is not self._reader:
                self._watch(reader)
            events = self._both.poll(timeout)
        readable = False
        for fd, _ in events:
            if fd == self._bell.fd:
                self._bell.clear()
            else:
                readable = True
        return readable

    def _watch(self, reader: Reader) -> None:
        self._reader = reader
        self._both = select.poll()
        self._both.register(self._bell.fd, select.POLLIN)
        if reader.fileno() >= 0:
            self._both.register(reader.fileno(), select.POLLIN)


class MainStage:
    """Runs ``def`` tools one after the other on the main thread, and watches deadlines."""

    def __init__(self) -> None:
        """Must be called on the main thread."""
        self.dispatcher: Dispatcher | None = None
        """Set before the first call."""
        self._thread = threading.get_ident()
        self._interrupt = SignalInterrupt()
        self._calls: deque[Call] = deque()
        self._stopped = False
        self.turn = threading.Lock()
        self._switch = threading.Lock()
        # Changed with the lock held: one lane may end while the next one comes.
        self.reader: Reader | None = None
        self._left: deque[Reader] = deque()  # ended or replaced, to be closed by who has the turn
        self.bell = Bell()
        self._poller = _Poller(self.bell)
        self.busy = False  # a tool's own code runs
        self.laps = 0  # how often that began
        self._understudy = _Understudy(self)

    # For any thread.

    def start(self, call: Call) -> None:
        """Has the call run by the main thread."""
        call.stage = self
        self._calls.append(call)
        if not self.here():
            self.bell.ring()

    def attach(self, reader: Reader) -> None:
        """Has this lane read from now on, in place of the one before."""
        with self._switch:
            before, self.reader = self.reader, reader
        if before is not None:
            self._left.append(before)
        self.bell.ring()
        self._understudy.rouse()

    def here(self) -> bool:
        """Tells whether this is the main thread."""
        return threading.get_ident() == self._thread

    def wake(self) -> None:
        """Has a waiting main thread look around."""
        if not self.here():
            self.bell.ring()

    def rouse(self) -> None:
        """Says that there's a call with a deadline, maybe."""
        self._understudy.rouse()

    def close(self) -> None:
        """Does nothing: the main thread ends with the process."""

    def abandon(self) -> None:
        """Lets go of the bells, in a forked child."""
        self.bell.abandon()
        self._understudy.abandon()

    def stop(self) -> None:
        """Has run return after the call that runs now."""
        self._stopped = True
        self.bell.ring()

    # For the main thread.

    def run(self) -> None:
        """Runs calls until stop."""
        self._understudy.start()
        while not self._stopped:
            if self._calls:
                self._run_next()
            else:
                self._await()

    def _run_next(self) -> None:
        call = self._calls.popleft()
        assert self.dispatcher is not None  # noqa: S101  set before the first call
        self._set_busy()
        self.dispatcher.run(call, self._interrupt.token())
        self.busy = False

    def _set_busy(self) -> None:
        self.laps += 1
        self.busy = True
        self._understudy.rouse()

    def wait(self, ready: Callable[[], bool]) -> None:
        """Waits in the middle of a tool, and reads the lane meanwhile."""
        self.busy = False
        try:
            while not ready():
                self._await()
        finally:
            self._set_busy()

    def _await(self) -> None:
        """Waits for anything to happen; it may also return for no reason."""
        if not self.turn.acquire(blocking=False):
            self._understudy.ask_for_turn()
            self._poller.wait(None, None)
            return
        try:
            self.read(self._poller, None)
        finally:
            self.turn.release()

    # For whoever has the turn.

    def read(self, poller: _Poller, timeout: float | None) -> None:
        """Waits for the lane or the bell, and reads once."""
        while self._left:
            self._left.popleft().close()
        reader = self.reader
        if poller.wait(reader, timeout) and reader is not None and not reader.step():
            with self._switch:
                if self.reader is reader:
                    self.reader = None
            reader.close()


class _Understudy:
    """Reads the lane while the main thread is busy for long, and stops calls at their deadlines."""

    def __init__(self, stage: MainStage) -> None:
        self._stage = stage
        self._bell = Bell()
        self._poller = _Poller(self._bell)
        self._parked = False

    def start(self) -> None:
        threading.Thread(target=self._run, name="understudy", daemon=True).start()

    def abandon(self) -> None:
        """Lets go of the bell, in a forked child."""
        self._bell.abandon()

    def rouse(self) -> None:
        """Has it look around if it sleeps for long; costs nothing else."""
        if self._parked:
            self._parked = False
            self._bell.ring()

    def ask_for_turn(self) -> None:
        """Has it give the turn back; the main thread is rung then."""
        self._bell.ring()

    def _run(self) -> None:
        seen, calm = -1, 0
        while True:
            self._expire()
            laps = self._stage.laps
            calm = 0 if laps != seen or self._busy_reading() else calm + 1
            if laps == seen and self._busy_reading() and self._take_over():
                continue
            seen = laps
            if calm < _CALM:
                self._poller.wait(None, _TICK)
            else:
                self._park(laps)
                calm = 0

    def _expire(self) -> float | None:
        """Stops overdue calls; gives the milliseconds to the next deadline."""
        dispatcher = self._stage.dispatcher
        left = dispatcher.expire(time.monotonic()) if dispatcher is not None else None
        return None if left is None else left * 1000 + 1

    def _busy_reading(self) -> bool:
        """Tells whether the main thread is busy while there's a lane to be read."""
        stage = self._stage
        return stage.busy and stage.reader is not None

    def _park(self, laps: int) -> None:
        self._parked = True
        # Whatever happened before is seen here; whatever happens from now on rings.
        next_deadline = self._expire()
        if self._stage.laps == laps and not self._busy_reading():
            self._poller.wait(None, next_deadline)
        self._parked = False

    def _take_over(self) -> bool:
        """Reads as long as the main thread is busy; False if it reads itself."""
        stage = self._stage
        if not stage.turn.acquire(blocking=False):
            return False
        try:
            while self._busy_reading():
                stage.read(self._poller, self._expire())
        finally:
            stage.turn.release()
            stage.bell.ring()
        return True
