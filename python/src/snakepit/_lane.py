"""The lane: calls both ways over one channel of frames. proto/LANE.md has the rules."""

from __future__ import annotations

import platform
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from typing_extensions import override

from snakepit import _wire, errors
from snakepit._call import Call, Link, Request, stopped
from snakepit._tool import NAME
from snakepit._version import __version__
from snakepit.v1 import lane_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Frame = lane_pb2.Frame

LANE_VERSION: Final = 1
FRAME_COST: Final = 64
_CUT: Final = 256  # bytes of a progress message
_MAX_CONTROL: Final = 1 << 16  # control frames that wait to be written
_PROGRESS_PAUSE: Final = 0.05  # seconds


class LaneError(Exception):
    """The peer broke a rule, and the lane ends."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one side of a lane takes from the other, in bytes where nothing else is said."""

    max_frame: int = 256 << 10
    max_payload: int = 256 << 20
    call_window: int = 1 << 20
    lane_window: int = 4 << 20
    max_calls: int = 1024

    def hello(self, token: bytes = b"") -> lane_pb2.Hello:
        """States them."""
        return lane_pb2.Hello(
            version_min=LANE_VERSION,
            version_max=LANE_VERSION,
            max_frame=self.max_frame,
            max_payload=self.max_payload,
            call_window=self.call_window,
            lane_window=self.lane_window,
            max_calls=self.max_calls,
            token=token,
            agent=f"snakepit-sdk/{__version__} python/{platform.python_version()}",
        )


def limits_of(hello: lane_pb2.Hello) -> Limits:
    """Reads a peer's limits; what is above the defaults is lowered to them.

    Raises:
        LaneError: one is missing, or the peer speaks no version of ours.
    """
    version = min(LANE_VERSION, hello.version_max)
    if version < LANE_VERSION or version < hello.version_min:
        theirs = f"{hello.version_min} to {hello.version_max}"
        msg = f"version_mismatch: the host speaks lane {theirs}, this SDK {LANE_VERSION}"
        raise LaneError(msg)
    most = Limits()
    given = (hello.max_frame, hello.call_window, hello.lane_window, hello.max_calls)
    if not all(given) or not hello.max_payload:
        raise LaneError("a hello without limits")
    return Limits(
        max_frame=min(hello.max_frame, most.max_frame),
        max_payload=hello.max_payload,
        call_window=min(hello.call_window, most.call_window),
        lane_window=min(hello.lane_window, most.lane_window),
        max_calls=min(hello.max_calls, most.max_calls),
    )


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


class Server(Protocol):
    """Runs the calls that come over a lane."""

    def open(self, request: Request, link: Link) -> Call | None:
        """Takes a call; None when it has ended already."""
        ...

    def stop(self, call: Call, reason: str) -> None:
        """Asks a call to stop."""
        ...

    def busy_for(self, now: float) -> float:
        """Says for how many seconds the oldest running call has been running."""
        ...


class _Gauge:
    """One direction's credit, on the receiving side: what the peer may send, and what it's owed."""

    __slots__ = ("balance", "owed", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.balance = window
        self.owed = 0

    def due(self) -> int:
        """Takes out what to give back now: half a window or more, or all when the peer is stuck."""
        n = self.owed
        if n == 0 or (2 * n < self.window and self.balance > 0):
            return 0
        self.owed = 0
        self.balance += n
        return n


class _Message:
    """A message that waits to be sent, or what is left of it."""

    __slots__ = ("call", "end", "payload", "sent", "size")

    def __init__(
        self,
        payload: bytes,
        *,
        call: lane_pb2.Call | None = None,
        end: lane_pb2.End | None = None,
    ) -> None:
        self.payload = payload
        self.size = len(payload)
        self.sent = 0
        self.call = call  # everything but the payload, of a call's first frame
        self.end = end  # the same of an end's last frame


class _Stream:
    """One side's end of a call: what it still has to send, under the peer's credit."""

    def __init__(self, lane: Lane, number: int) -> None:
        self.lane = lane
        self.number = number
        # Guarded by the lane's lock.
        self.outbox: deque[_Message] = deque()
        self.credit = lane.theirs.call_window
        self.gauge = _Gauge(lane.ours.call_window)
        self.call: Call | None = None  # who wants to know when there's room
        self.listed = False  # among the lane's talkers
        self.over = False  # nothing is sent or taken any more

    def can_send(self) -> bool:
        """Tells whether the next frame may go, as far as this call is concerned."""
        if not self.outbox:
            return False
        m = self.outbox[0]
        if (m.call is not None or m.end is not None) and m.size <= self.lane.theirs.max_frame:
            return True
        return self.credit > 0

    def next_frame(self) -> Frame:
        """Cuts off the next frame."""
        m = self.outbox[0]
        most = self.lane.theirs.max_frame
        part = m.payload if m.size <= most else m.payload[m.sent : m.sent + most]
        m.sent += len(part)
        more = m.sent < m.size
        if not more:
            self.outbox.popleft()
        frame = lane_pb2.Frame(call_id=self.number)
        if more:
            frame.more = True
        if m.call is not None:
            first = m.sent == len(part)
            frame.call.CopyFrom(m.call) if first else frame.call.SetInParent()
            frame.call.payload = part
        elif m.end is not None:
            frame.end.CopyFrom(lane_pb2.End() if more else m.end)
            frame.end.payload = part
        else:
            frame.data.payload = part
        if part or m.end is None:
            self.credit -= FRAME_COST + len(part)
        return frame


class Inbound(_Stream, Link):
    """A call that the host has opened: the way back to its caller."""

    def __init__(self, lane: Lane, number: int, opened: lane_pb2.Call) -> None:
        super().__init__(lane, number)
        self.parts: list[bytes] | None = []  # of the arguments; None once they are complete
        self.size = 0
        self.request = _request_of(opened)
        self.half_closed = not opened.input
        self.inbox: deque[tuple[bytes, int]] = deque()
        self.partial: list[bytes] = []
        self.partial_size = 0
        self.held = 0  # the cost of frames of the message in the making, not owed yet
        self.finishing = False  # its end waits to be sent
        self.last_report = 0.0
        self.report: lane_pb2.Progress | None = None

    @property
    @override
    def max_payload(self) -> int:
        return self.lane.theirs.max_payload

    @override
    def writable(self) -> bool:
        return self.over or (not self.outbox and self.credit > 0)

    @override
    def send(self, payload: bytes) -> None:
        self.lane.enqueue(self, _Message(payload))

    @override
    def readable(self) -> bool:
        return bool(self.inbox) or self.over or (self.half_closed and not self.partial)

    @override
    def take(self) -> bytes | None:
        with self.lane.lock:
            if not self.inbox:
                return None
            payload, cost = self.inbox.popleft()
            self.gauge.owed += cost
            if not self.inbox:
                self.gauge.owed += self.held
                self.held = 0
            due = 0 if self.half_closed else self.gauge.due()
        if due:
            self.lane.give(self.number, due)
        return payload

    @override
    def progress(self, done: float, total: float, message: str) -> None:
        report = lane_pb2.Progress(done=done, total=total, message=_wire.cut(message, _CUT))
        now = time.monotonic()
        if now - self.last_report < _PROGRESS_PAUSE:
            self.report = report  # the newest goes before the end
            return
        self.last_report, self.report = now, None
        self.lane.control(lane_pb2.Frame(call_id=self.number, optional=True, progress=report))

    @override
    def end(self, payload: bytes, error: errors.Error | None) -> None:
        if self.report is not None:
            frame = lane_pb2.Frame(call_id=self.number, optional=True, progress=self.report)
            self.lane.control(frame)
        end = lane_pb2.End() if error is None else lane_pb2.End(error=_wire.to_proto(error))
        self.lane.finish(self, payload, end)

    @override
    def ask(self, tool: str, payload: bytes, deadline: float | None) -> Outbound:
        return self.lane.ask(tool, payload, deadline, call=self.call, parent=self)


class Outbound(_Stream):
    """A call to a host tool."""

    def __init__(self, lane: Lane, number: int, call: Call | None) -> None:
        super().__init__(lane, number)
        self.call = call
        self.done = False
        self.abandoned = False
        self.parts: list[bytes] = []
        self.size = 0
        self.payload = b""
        self.error: errors.Error | None = None

    def result(self) -> bytes:
        """Gives the result of a call that is done."""
        if self.error is not None:
            raise self.error
        return self.payload

    def abandon(self) -> None:
        """Cancels the call; nobody waits for it any more."""
        self.lane.abandon(self)

    def settle(self, payload: bytes, error: errors.Error | None) -> None:
        """Gives the call its result."""
        self.payload, self.error, self.done = payload, error, True
        if self.call is not None:
            self.call.notify()


class Lane:
    """A lane that is open: both hellos were exchanged."""

    def __init__(
        self,
        carrier: Carrier,
        server: Server,
        ours: Limits,
        theirs: Limits,
        *,
        dialled: bool = False,
    ) -> None:
        """Takes over a carrier.

        Args:
            carrier: moves the frames.
            server: runs the peer's calls.
            ours: what this side takes.
            theirs: what the peer takes.
            dialled: this side dialled, and opens odd calls; a worker's lane was accepted.
        """
        self.ours = ours
        self.theirs = theirs
        self.lock = threading.Lock()
        self.on_close: Callable[[Lane], None] = lambda _lane: None
        self._carrier = carrier
        self._server = server
        self._pumping = threading.Lock()
        self._peer_parity = 0 if dialled else 1
        self._handlers: dict[str | None, Callable[[Frame], None]] = {
            "call": self._on_call,
            "data": self._on_data,
            "half_close": self._on_half_close,
            "end": self._on_end,
            "cancel": self._on_cancel,
            "credit": self._on_credit,
            "ping": self._on_ping,
            "pong": self._on_ignored,
            "drain": self._on_drain,
            "progress": self._on_ignored,
            None: self._on_unknown,
        }
        # Guarded by the lock.
        self.closed = False
        self._in: dict[int, Inbound] = {}
        self._out: dict[int, Outbound] = {}
        self._last_in = 0
        self._last_out = 0 if self._peer_parity else -1
        self._gauge = _Gauge(ours.lane_window)
        self._credit = theirs.lane_window
        self._control: deque[Frame] = deque()
        self._talkers: deque[_Stream] = deque()
        self._full = False
        self._dirty = False
        self._peer_drains = False

    # What the carrier calls.

    def receive(self, frame: Frame) -> None:
        """Acts on a frame; called by one thread at a time.

        Raises:
            LaneError: it breaks a rule; the caller closes the lane.
        """
        handler = self._handlers.get(frame.WhichOneof("kind"))
        if handler is None:
            msg = f"a frame of kind {frame.WhichOneof('kind')} out of place"
            raise LaneError(msg)
        handler(frame)

    def resume(self) -> None:
        """Says that the carrier takes frames again."""
        self._full = False
        self._pump()

    def close(self) -> None:
        """Ends the lane: stops the peer's calls and fails our own; any number of times."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            inbound, outbound = list(self._in.values()), list(self._out.values())
            self._in.clear()
            self._out.clear()
            self._control.clear()
            self._talkers.clear()
            for stream in (*inbound, *outbound):
                stream.over = True
                stream.outbox.clear()
        self._carrier.close()
        gone = errors.CallCancelledError("the connection to the host has ended")
        for asked in outbound:
            if not asked.done:
                asked.settle(b"", gone)
        for call in inbound:
            if call.call is not None:
                self._server.stop(call.call, "cancelled")
        self.on_close(self)

    # What calls ask for.

    def enqueue(self, stream: _Stream, message: _Message) -> None:
        """Has a message sent when it's its turn."""
        with self.lock:
            if self.closed or stream.over:
                return
            stream.outbox.append(message)
            self._list(stream)
        self._pump()

    def control(self, frame: Frame) -> None:
        """Has a control frame sent before any data."""
        with self.lock:
            if self.closed:
                return
            self._control.append(frame)
            deaf = len(self._control) > _MAX_CONTROL
        if deaf:
            self.close()  # a peer that asks and asks, and reads no answer
        else:
            self._pump()

    def give(self, number: int, n: int) -> None:
        """Gives credit back; 0 stands for the lane."""
        self.control(lane_pb2.Frame(call_id=number, credit=lane_pb2.Credit(bytes=n)))

    def finish(self, inbound: Inbound, payload: bytes, end: lane_pb2.End) -> None:
        """Ends a peer's call."""
        with self.lock:
            if self.closed or inbound.finishing:
                return
            inbound.finishing = True
            inbound.inbox.clear()
            inbound.partial.clear()
            if inbound.call is not None and inbound.call.reason is not None:
                inbound.outbox.clear()  # the caller doesn't read any more
            self._queue_end(inbound, payload, end)
        self._pump()

    def _queue_end(self, inbound: Inbound, payload: bytes, end: lane_pb2.End) -> None:
        if payload or inbound.outbox:
            inbound.outbox.append(_Message(payload, end=end))
            self._list(inbound)
        else:
            self._control.append(lane_pb2.Frame(call_id=inbound.number, end=end))
            self._forget(inbound)

    def ask(
        self,
        tool: str,
        payload: bytes,
        deadline: float | None,
        *,
        call: Call | None = None,
        parent: Inbound | None = None,
    ) -> Outbound:
        """Opens a call to a host tool.

        Args:
            tool: its name.
            payload: its arguments.
            deadline: when it's over, on the monotonic clock.
            call: the call that asks, to be notified when there's an answer.
            parent: the same, if it came over this lane.

        Raises:
            Error: the lane is closed, or the host takes no calls.
        """
        if len(payload) > self.theirs.max_payload:
            most = self.theirs.max_payload
            text = f"the arguments have {len(payload)} bytes, and the host takes {most}"
            raise errors.PayloadTooLargeError(text)
        opening = _opening(tool, deadline, parent)
        with self.lock:
            if self.closed:
                raise errors.UnavailableError("the connection to the host has ended")
            if self._peer_drains:
                raise errors.make("draining", "the host takes no new calls")
            if len(self._out) >= self.theirs.max_calls:
                raise errors.make("queue_full", f"{self.theirs.max_calls} host calls are open")
            self._last_out += 2
            asked = Outbound(self, self._last_out, call)
            self._out[asked.number] = asked
            asked.outbox.append(_Message(payload, call=opening))
            self._list(asked)
        self._pump()
        return asked

    def abandon(self, asked: Outbound) -> None:
        """Cancels a call of ours, and frees whoever waits for it."""
        with self.lock:
            if asked.done or asked.abandoned:
                return
            asked.abandoned = True
            begun = not asked.outbox or asked.outbox[0].sent > 0
            asked.outbox.clear()
            if not begun:
                self._forget(asked)
            elif not self.closed:  # it stays counted until its end comes
                cancel = lane_pb2.Cancel(reason="cancelled")
                self._control.append(lane_pb2.Frame(call_id=asked.number, cancel=cancel))
        asked.settle(b"", errors.CallCancelledError("the call was cancelled"))
        self._pump()

    def announce_drain(self) -> None:
        """Tells the peer that this side takes no new calls."""
        self.control(lane_pb2.Frame(drain=lane_pb2.Drain()))

    # The writing side.

    def _list(self, stream: _Stream) -> None:
        if not stream.listed and stream.can_send():
            stream.listed = True
            self._talkers.append(stream)

    def _forget(self, stream: _Stream) -> None:
        stream.over = True
        (self._in if isinstance(stream, Inbound) else self._out).pop(stream.number, None)

    def _pump(self) -> None:
        """Writes what may be written. One thread at a time does it for all."""
        self._dirty = True
        while self._dirty and self._pumping.acquire(blocking=False):
            broken = False
            try:
                self._dirty = False
                while not self._full and self._write_next():
                    pass
            except OSError:
                broken = True
            finally:
                self._pumping.release()
            if broken:
                self.close()
                return

    def _write_next(self) -> bool:
        talker: _Stream | None = None
        with self.lock:
            if self._control:
                frame = self._control.popleft()
            else:
                talker = self._next_talker()
                if talker is None:
                    return False
                frame = self._cut_frame(talker)
        self._full = not self._carrier.write(frame)
        if talker is not None and not talker.outbox and talker.call is not None:
            talker.call.notify()
        return True

    def _next_talker(self) -> _Stream | None:
        if self._credit <= 0:
            return None
        while self._talkers:
            stream = self._talkers.popleft()
            if stream.can_send():
                return stream
            stream.listed = False
        return None

    def _cut_frame(self, stream: _Stream) -> Frame:
        before = stream.credit
        frame = stream.next_frame()
        self._credit -= before - stream.credit
        if stream.can_send():
            self._talkers.append(stream)  # behind the others
        else:
            stream.listed = False
            if isinstance(stream, Inbound) and stream.finishing and not stream.outbox:
                self._forget(stream)
        return frame

    # The reading side.

    def _charge(self, size: int) -> int:
        """Books a frame's cost, and gives the lane's credit back."""
        if size > self.ours.max_frame:
            msg = f"a frame of {size} bytes, and at most {self.ours.max_frame} are taken"
            raise LaneError(msg)
        cost = FRAME_COST + size
        gauge = self._gauge
        gauge.balance -= cost
        if gauge.balance < -self.ours.max_frame - FRAME_COST:
            raise LaneError("the peer sends without credit")
        gauge.owed += cost
        if 2 * gauge.owed >= gauge.window or gauge.balance <= 0:
            self.give(0, gauge.due())
        return cost

    def _spend(self, stream: _Stream, cost: int) -> None:
        stream.gauge.balance -= cost
        if stream.gauge.balance < -self.ours.max_frame - FRAME_COST:
            raise LaneError("the peer sends without the call's credit")

    def _on_call(self, frame: Frame) -> None:
        opened, number = frame.call, frame.call_id
        cost = self._charge(len(opened.payload))
        inbound = self._in.get(number)
        if inbound is None:
            inbound = self._begin(number, opened)
            if inbound is None:
                return
        elif inbound.parts is None:
            raise LaneError("a call opened twice")
        self._spend(inbound, cost)
        self._add_arguments(inbound, opened.payload, frame.more, cost)

    def _begin(self, number: int, opened: lane_pb2.Call) -> Inbound | None:
        if number % 2 != self._peer_parity:
            msg = f"a call with the number {number}, which isn't the peer's to give"
            raise LaneError(msg)
        if number <= self._last_in:
            if opened.tool:
                msg = f"a call with the number {number} after {self._last_in}"
                raise LaneError(msg)
            return None  # the rest of one that has ended
        self._last_in = number
        inbound = Inbound(self, number, opened)
        with self.lock:
            full = len(self._in) >= self.ours.max_calls
            self._in[number] = inbound
        if full:
            inbound.end(b"", errors.make("queue_full", f"{self.ours.max_calls} calls are open"))
            return None
        return inbound

    def _add_arguments(self, inbound: Inbound, part: bytes, more: bool, cost: int) -> None:
        parts = inbound.parts
        if parts is None:
            return
        inbound.size += len(part)
        if inbound.size > self.ours.max_payload:
            inbound.end(b"", self._oversized("the arguments have", inbound.size))
            return
        parts.append(part)
        if more:
            inbound.gauge.owed += cost
            self._give_due(inbound)
            return
        inbound.request.payload = part if len(parts) == 1 else b"".join(parts)
        inbound.parts = None
        if not inbound.half_closed:
            inbound.gauge.owed += cost
        self._server.open(inbound.request, inbound)

    def _oversized(self, what: str, size: int) -> errors.Error:
        text = f"{what} more than {size - 1} bytes, and at most {self.ours.max_payload} are taken"
        return errors.PayloadTooLargeError(text)

    def _give_due(self, stream: _Stream) -> None:
        with self.lock:
            due = stream.gauge.due()
        if due:
            self.give(stream.number, due)

    def _on_data(self, frame: Frame) -> None:
        payload = frame.data.payload
        cost = self._charge(len(payload))
        inbound = self._in.get(frame.call_id)
        if inbound is None or inbound.finishing:
            return
        if inbound.parts is not None or inbound.half_closed:
            raise LaneError("a chunk for a call that takes none")
        self._spend(inbound, cost)
        inbound.partial_size += len(payload)
        if inbound.partial_size > self.ours.max_payload:
            if inbound.call is not None:
                self._server.stop(inbound.call, "payload_too_large")
            return
        self._add_chunk(inbound, payload, frame.more, cost)

    def _add_chunk(self, inbound: Inbound, payload: bytes, more: bool, cost: int) -> None:
        with self.lock:
            inbound.partial.append(payload)
            if more and not inbound.inbox:
                inbound.gauge.owed += cost
            else:
                inbound.held += cost
            if not more:
                whole = payload if len(inbound.partial) == 1 else b"".join(inbound.partial)
                inbound.inbox.append((whole, inbound.held))
                inbound.partial, inbound.partial_size, inbound.held = [], 0, 0
            due = inbound.gauge.due()
        if due:
            self.give(inbound.number, due)
        if not more and inbound.call is not None:
            inbound.call.notify()

    def _on_half_close(self, frame: Frame) -> None:
        inbound = self._in.get(frame.call_id)
        if inbound is None:
            return
        if inbound.partial:
            raise LaneError("a half-close inside of a message")
        inbound.half_closed = True
        if inbound.call is not None:
            inbound.call.notify()

    def _on_end(self, frame: Frame) -> None:
        payload = frame.end.payload
        asked = self._out.get(frame.call_id)
        cost = self._charge(len(payload)) if payload else 0
        if asked is None:
            return
        asked.gauge.balance -= cost  # an end isn't held back by the call's credit
        asked.size += len(payload)
        if not asked.abandoned and asked.size <= self.ours.max_payload:
            asked.parts.append(payload)
        if frame.more:
            asked.gauge.owed += cost
            self._give_due(asked)
            return
        with self.lock:
            self._forget(asked)
        if not asked.done:
            self._settle(asked, frame.end)

    def _settle(self, asked: Outbound, end: lane_pb2.End) -> None:
        if end.HasField("error"):
            asked.settle(b"", _wire.from_proto(end.error))
        elif asked.size > self.ours.max_payload:
            asked.settle(b"", self._oversized("the result has", asked.size))
        else:
            asked.settle(b"".join(asked.parts), None)

    def _on_cancel(self, frame: Frame) -> None:
        inbound = self._in.get(frame.call_id)
        if inbound is None:
            return
        reason = frame.cancel.reason[:64] or "cancelled"
        if inbound.parts is not None:  # its arguments aren't complete, and won't be
            tool = inbound.request.tool
            inbound.end(b"", stopped(reason, tool, inbound.request.id, ran=False))
            return
        if inbound.call is not None:
            self._server.stop(inbound.call, reason)
        self._hurry(inbound)

    def _hurry(self, inbound: Inbound) -> None:
        """Drops what a cancelled call has yet to send; an end that was begun goes on."""
        with self.lock:
            if inbound.over:
                return
            last = inbound.outbox[-1] if inbound.finishing and inbound.outbox else None
            inbound.outbox.clear()
            if last is not None and last.sent:
                inbound.outbox.append(last)
            elif last is not None:
                tool, call = inbound.request.tool, inbound.request.id
                e = stopped("cancelled", tool, call, ran=True)
                self._queue_end(inbound, b"", lane_pb2.End(error=_wire.to_proto(e)))
        self._pump()

    def _on_credit(self, frame: Frame) -> None:
        n = frame.credit.bytes
        with self.lock:
            if frame.call_id == 0:
                if n > self.theirs.lane_window - self._credit:
                    raise LaneError("more credit than the lane's window")
                self._credit += n
                stream = None
            else:
                stream = self._in.get(frame.call_id) or self._out.get(frame.call_id)
                if stream is None:
                    return
                if n > self.theirs.call_window - stream.credit:
                    raise LaneError("more credit than the call's window")
                stream.credit += n
                self._list(stream)
        self._pump()
        if stream is not None and stream.call is not None:
            stream.call.notify()

    def _on_ping(self, frame: Frame) -> None:
        busy = int(self._server.busy_for(time.monotonic()) * 1e6)
        self.control(lane_pb2.Frame(pong=lane_pb2.Pong(nonce=frame.ping.nonce, busy_us=busy)))

    def _on_drain(self, _frame: Frame) -> None:
        self._peer_drains = True

    def _on_ignored(self, _frame: Frame) -> None:
        """Pongs to nobody, and reports of how far host tools have come."""

    def _on_unknown(self, frame: Frame) -> None:
        if not frame.optional:
            raise LaneError("a frame of a kind that this SDK doesn't know")


def _request_of(opened: lane_pb2.Call) -> Request:
    timeout = opened.timeout_us
    return Request(
        tool=opened.tool,
        payload=b"",
        id=opened.id[:256],
        session=opened.session,
        deadline=time.monotonic() + timeout / 1e6 if timeout else None,
        stream=opened.stream,
        input=opened.input,
        metadata=_metadata_of(opened.metadata),
    )


def _metadata_of(given: Mapping[str, str]) -> dict[str, str]:
    """Takes at most 16 entries and 4 KiB."""
    taken: dict[str, str] = {}
    size = 0
    for key in list(given)[:16]:
        size += len(key) + len(given[key])
        if size > 4096:
            break
        taken[key] = given[key]
    return taken


def _opening(tool: str, deadline: float | None, parent: Inbound | None) -> lane_pb2.Call:
    if not NAME.fullmatch(tool):
        text = f"{tool[:64]!r} can't be a tool's name"
        raise errors.InvalidToolNameError(text)
    opening = lane_pb2.Call(tool=tool)
    if deadline is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise errors.DeadlineError("the call's time is over")
        opening.timeout_us = max(1, int(left * 1e6))
    if parent is not None:
        opening.parent = parent.number
        opening.session = parent.request.session
        opening.id = parent.request.id
    return opening
