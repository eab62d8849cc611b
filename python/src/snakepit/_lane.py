"""The lane: calls both ways over one channel of frames. proto/LANE.md has the rules."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from snakepit import _wire, errors
from snakepit._call import Call, Link, Request, stopped
from snakepit._limits import LaneError, Limits
from snakepit._streams import FRAME_COST, Gauge, Inbound, Message, Outbound, Stream, opening_of
from snakepit._writer import Carrier, Writer
from snakepit.v1 import lane_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    Frame = lane_pb2.Frame


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
        self._writer = Writer(self.lock, carrier, theirs.lane_window, self._sent_all)
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
        self._gauge = Gauge(ours.lane_window)
        self._peer_drains = False

    # What the carrier calls.

    def receive(self, frame: Frame) -> None:
        """Acts on a frame; called by one thread at a time. What comes after the end is dropped.

        Raises:
            LaneError: it breaks a rule; the caller closes the lane.
        """
        if self.closed:
            return
        handler = self._handlers.get(frame.WhichOneof("kind"))
        if handler is None:
            msg = f"a frame of kind {frame.WhichOneof('kind')} out of place"
            raise LaneError(msg)
        handler(frame)

    def resume(self) -> None:
        """Says that the carrier takes frames again."""
        self._writer.resume()
        self._pump()

    def close(self) -> None:
        """Ends the lane: stops the peer's calls and fails our own; any number of times."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            inbound = list(self._in.values())
            outbound = [(asked, asked.begun()) for asked in self._out.values()]
            self._in.clear()
            self._out.clear()
            self._writer.clear()
            for stream in (*inbound, *(asked for asked, _ in outbound)):
                stream.over = True
                stream.outbox.clear()
        self._carrier.close()
        for call in inbound:  # first, so that a tool that waits for the host is told to stop
            if call.call is not None:
                self._server.stop(call.call, "cancelled")
        for asked, begun in outbound:
            if not asked.done:
                text = "the connection to the host has ended"
                asked.settle(b"", errors.CallCancelledError(text, may_have_run=begun))
        self.on_close(self)

    # What calls ask for.

    def enqueue(self, stream: Stream, message: Message) -> None:
        """Has a message sent when it's its turn."""
        with self.lock:
            if self.closed or stream.over:
                return
            stream.outbox.append(message)
            self._writer.enlist(stream)
        self._pump()

    def control(self, frame: Frame) -> None:
        """Has a control frame sent before any data."""
        with self.lock:
            if self.closed:
                return
            heard = self._writer.control(frame)
        if heard:
            self._pump()
        else:
            self.close()  # a peer that asks and asks, and reads no answer

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
            inbound.outbox.append(Message(payload, end=end))
            self._writer.enlist(inbound)
        else:
            self._writer.control(lane_pb2.Frame(call_id=inbound.number, end=end))
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
        opening = opening_of(tool, deadline, parent)
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
            asked.outbox.append(Message(payload, call=opening))
            self._writer.enlist(asked)
        self._pump()
        return asked

    def abandon(self, asked: Outbound) -> None:
        """Cancels a call of ours, and frees whoever waits for it."""
        with self.lock:
            if asked.done or asked.abandoned:
                return
            asked.abandoned = True
            begun = asked.begun()
            asked.outbox.clear()
            if not begun:
                self._forget(asked)
            elif not self.closed:  # it stays counted until its end comes
                cancel = lane_pb2.Cancel(reason="cancelled")
                self._writer.control(lane_pb2.Frame(call_id=asked.number, cancel=cancel))
        asked.settle(b"", errors.CallCancelledError("the call was cancelled"))
        self._pump()

    def announce_drain(self) -> None:
        """Tells the peer that this side takes no new calls."""
        self.control(lane_pb2.Frame(drain=lane_pb2.Drain()))

    # Both sides.

    def _pump(self) -> None:
        if not self._writer.pump():
            self.close()

    def _sent_all(self, stream: Stream) -> None:
        if isinstance(stream, Inbound) and stream.finishing:
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        stream.over = True
        (self._in if isinstance(stream, Inbound) else self._out).pop(stream.number, None)

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

    def _spend(self, stream: Stream, cost: int) -> None:
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
        call = self._server.open(inbound.request, inbound)
        if call is not None and self.closed:  # by another thread, which didn't see the call
            self._server.stop(call, "cancelled")

    def _oversized(self, what: str, size: int) -> errors.Error:
        text = f"{what} more than {size - 1} bytes, and at most {self.ours.max_payload} are taken"
        return errors.PayloadTooLargeError(text)

    def _give_due(self, stream: Stream) -> None:
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
        """Drops what a cancelled call has yet to send, also of a message that was begun."""
        with self.lock:
            if inbound.over:
                return
            unsent = bool(inbound.outbox)
            inbound.outbox.clear()
            if unsent and inbound.finishing:  # its end was among them
                tool, call = inbound.request.tool, inbound.request.id
                e = stopped("cancelled", tool, call, ran=True)
                self._queue_end(inbound, b"", lane_pb2.End(error=_wire.to_proto(e)))
        self._pump()

    def _on_credit(self, frame: Frame) -> None:
        n = frame.credit.bytes
        with self.lock:
            if frame.call_id == 0:
                self._writer.refill(n)
                stream = None
            else:
                stream = self._in.get(frame.call_id) or self._out.get(frame.call_id)
                if stream is None:
                    return
                if n > self.theirs.call_window - stream.credit:
                    raise LaneError("more credit than the call's window")
                stream.credit += n
                self._writer.enlist(stream)
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
