"""The two kinds of calls on a lane: those that the peer has opened, and our own."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from snakepit import _wire, errors
from snakepit._call import Link, Request
from snakepit._tool import NAME
from snakepit.v1 import lane_pb2

if TYPE_CHECKING:
    from snakepit._call import Call
    from snakepit._lane import Lane

    Frame = lane_pb2.Frame

FRAME_COST: Final = 64
"""What a frame costs beside its payload."""
_CUT: Final = 256  # bytes of a progress message
_PROGRESS_PAUSE: Final = 0.05  # seconds


class Gauge:
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


class Message:
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


class Stream:
    """One side's end of a call: what it still has to send, under the peer's credit."""

    def __init__(self, lane: Lane, number: int) -> None:
        self.lane = lane
        self.number = number
        # Guarded by the lane's lock.
        self.outbox: deque[Message] = deque()
        self.credit = lane.theirs.call_window
        self.gauge = Gauge(lane.ours.call_window)
        self.call: Call | None = None  # who wants to know when there's room
        self.listed = False  # among the lane's talkers
        self.over: bool = False  # nothing is sent or taken any more

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


class Inbound(Stream, Link):
    """A call that the host has opened: the way back to its caller."""

    def __init__(self, lane: Lane, number: int, opened: lane_pb2.Call) -> None:
        super().__init__(lane, number)
        self.parts: list[bytes] | None = []  # of the arguments; None once they are complete
        self.size = 0
        self.request = request_of(opened)
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
        self.lane.enqueue(self, Message(payload))

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


class Outbound(Stream):
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

    def begun(self) -> bool:
        """Tells whether any of it was handed to the carrier."""
        return not self.outbox or self.outbox[0].sent > 0

    def abandon(self) -> None:
        """Cancels the call; nobody waits for it any more."""
        self.lane.abandon(self)

    def settle(self, payload: bytes, error: errors.Error | None) -> None:
        """Gives the call its result."""
        self.payload, self.error, self.done = payload, error, True
        if self.call is not None:
            self.call.notify()


def request_of(opened: lane_pb2.Call) -> Request:
    """Reads a call's first frame, all but its payload."""
    timeout = opened.timeout_us
    return Request(
        tool=opened.tool,
        payload=b"",
        id=opened.id,
        session=opened.session,
        epoch=opened.epoch,
        away=opened.away,
        deadline=time.monotonic() + timeout / 1e6 if timeout else None,
        stream=opened.stream,
        input=opened.input,
        metadata=dict(opened.metadata),
    )


def opening_of(tool: str, deadline: float | None, parent: Inbound | None) -> lane_pb2.Call:
    """Makes the first frame of a call to a host tool, all but its payload.

    Raises:
        InvalidToolNameError: it can't be a tool's name.
        DeadlineError: there is no time left.
    """
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
