"""The writing side of a lane: what goes next, under the peer's credit."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from snakepit._limits import LaneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakepit._streams import Stream
    from snakepit.v1 import lane_pb2

    Frame = lane_pb2.Frame

# Control frames that wait to be written: 1024 pongs, 2048 ends of refused calls, and the others'.
_MAX_CONTROL: Final = 4096


class Carrier(Protocol):
    """Moves frames. write is called by one thread at a time."""

    def write(self, frame: Frame) -> bool:
        """Takes a frame, without blocking; False: no more until it calls lane.resume().

        Raises:
            OSError: the carrier is gone.
        """
        ...

    def close(self) -> None:
        """Has both directions end; from any thread, any number of times."""
        ...


class Writer:
    """Writes control frames first, then the calls' messages, frame by frame in turns.

    Whatever takes a frame in or gives credit is called with the lane's lock held; pump without.
    """

    def __init__(
        self,
        lock: threading.Lock,
        carrier: Carrier,
        window: int,
        sent_all: Callable[[Stream], None],
    ) -> None:
        """Writes nothing yet.

        Args:
            lock: the lane's.
            carrier: moves the frames.
            window: the peer's lane_window.
            sent_all: told, with the lock held, of each stream that has nothing more to send.
        """
        self._lock = lock
        self._carrier = carrier
        self._window = window
        self._sent_all = sent_all
        # Held by the one thread that writes. What another one adds meanwhile makes it dirty.
        self._pumping = threading.Lock()
        self._dirty = False
        self._full = False
        # Guarded by the lock.
        self._credit = window
        self._control: deque[Frame] = deque()
        self._talkers: deque[Stream] = deque()

    def control(self, frame: Frame) -> bool:
        """Has a control frame sent before any data; False when far too many wait."""
        self._control.append(frame)
        return len(self._control) <= _MAX_CONTROL

    def enlist(self, stream: Stream) -> None:
        """Gives a stream its turns, if it has something that it may send."""
        if not stream.listed and stream.can_send():
            stream.listed = True
            self._talkers.append(stream)

    def refill(self, n: int) -> None:
        """Takes credit that the peer gives back.

        Raises:
            LaneError: it's more than was used.
        """
        if n > self._window - self._credit:
            raise LaneError("more credit than the lane's window")
        self._credit += n

    def clear(self) -> None:
        """Drops everything."""
        self._control.clear()
        self._talkers.clear()

    def resume(self) -> None:
        """Says that the carrier takes frames again."""
        self._full = False

    def pump(self) -> bool:
        """Writes what may be written, unless another thread does; False: the carrier is gone."""
        self._dirty = True
        while self._dirty and self._pumping.acquire(blocking=False):
            try:
                self._dirty = False
                while not self._full and self._write_next():
                    pass
            except OSError:
                return False
            finally:
                self._pumping.release()
        return True

    def _write_next(self) -> bool:
        talker: Stream | None = None
        with self._lock:
            if self._control:
                frame = self._control.popleft()
            else:
                talker = self._next_talker()
                if talker is None:
                    return False
                frame = self._cut(talker)
        self._full = not self._carrier.write(frame)
        if talker is not None and not talker.outbox and talker.call is not None:
            talker.call.notify()
        return True

    def _next_talker(self) -> Stream | None:
        if self._credit <= 0:
            return None
        while self._talkers:
            stream = self._talkers.popleft()
            if stream.can_send():
                return stream
            stream.listed = False
        return None

    def _cut(self, stream: Stream) -> Frame:
        before = stream.credit
        frame = stream.next_frame()
        self._credit -= before - stream.credit
        if stream.can_send():
            self._talkers.append(stream)  # behind the others
        else:
            stream.listed = False
            if not stream.outbox:
                self._sent_all(stream)
        return frame
