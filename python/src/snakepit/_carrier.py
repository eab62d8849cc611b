"""What moves a lane's frames: a Unix socket, or a gRPC stream."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from snakepit._limits import LaneError
from snakepit.v1 import lane_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakepit._lane import Lane

    Frame = lane_pb2.Frame

_PREFIX: Final = 4
_SLACK: Final = 64 << 10  # what a frame may hold besides its payload
_CHUNK: Final = 256 << 10

# What may wait in a gRPC stream before writers are held back, in bytes.
_STREAM_ROOM: Final = 1 << 20
# The most payload in one message of it.
_MESSAGE: Final = 512 << 10


class LocalCarrier:
    """Frames on a Unix stream socket, each behind its length.

    The lane's threads read by step, when the descriptor is readable. Writing never blocks: what the
    socket doesn't take at once is written by a thread of its own, made at the first need.
    """

    def __init__(self, sock: socket.socket, max_frame: int) -> None:
        """Takes over a connected socket, on which the hellos were exchanged.

        Args:
            sock: the socket.
            max_frame: the most payload bytes in one frame.
        """
        sock.setblocking(False)
        self.lane: Lane | None = None
        """Set before the first step."""
        self.on_broken: Callable[[Exception], None] = lambda _error: None
        """Told which rule the peer has broken."""
        self._sock = sock
        self._most = max_frame + _SLACK
        self._buffer = bytearray(_CHUNK)
        self._filled = 0
        self._rest = b""
        self._flusher: threading.Thread | None = None
        self._blocked = threading.Semaphore(0)
        self._closed = False

    def fileno(self) -> int:
        """The descriptor to wait for; -1 once it's closed."""
        return self._sock.fileno()

    def step(self) -> bool:
        """Reads what is there and acts on each frame; False when the lane has ended."""
        lane = self.lane
        assert lane is not None  # noqa: S101  set before the first step
        try:
            n = self._sock.recv_into(memoryview(self._buffer)[self._filled :])
        except BlockingIOError:
            return True
        except OSError:
            n = 0
        if n == 0:
            lane.close()
            return False
        self._filled += n
        try:
            self._take_frames(lane)
        except (LaneError, DecodeError) as e:
            self.on_broken(e)
            lane.close()
            return False
        return not self._closed

    def _take_frames(self, lane: Lane) -> None:
        buffer, start, end = self._buffer, 0, self._filled
        need = 0
        with memoryview(buffer) as view:
            while end - start >= _PREFIX:
                size = int.from_bytes(view[start : start + _PREFIX])
                if size > self._most:
                    msg = f"a frame of {size} bytes"
                    raise LaneError(msg)
                need = _PREFIX + size
                if end - start < need:
                    break
                lane.receive(lane_pb2.Frame.FromString(view[start + _PREFIX : start + need]))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                start += need
        if start == end:
            self._filled = 0
            return
        rest = buffer[start:end]
        if need > len(buffer):
            self._buffer = bytearray(need)
        self._buffer[: len(rest)] = rest
        self._filled = len(rest)

    def write(self, frame: Frame) -> bool:
        """Takes a frame, without blocking; False: no more until it calls lane.resume()."""
        data = frame.SerializeToString()
        data = len(data).to_bytes(_PREFIX) + data
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            return True
        self._rest = data[sent:]
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush, name="lane-flush", daemon=True)
            self._flusher.start()
        self._blocked.release()
        return False

    def _flush(self) -> None:
        while True:
            self._blocked.acquire()
            lane = self.lane
            if self._closed or lane is None or not self._write_rest():
                return
            lane.resume()

    def _write_rest(self) -> bool:
        poller = select.poll()
        try:
            poller.register(self._sock, select.POLLOUT)
            rest = memoryview(self._rest)
            self._rest = b""
            while rest:
                poller.poll()
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self._sock.send(rest) :]
        except (OSError, ValueError):  # closed; the reader sees it too
            return False
        return True

    def close(self) -> None:
        """Has both directions end; whoever reads closes the descriptor."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._blocked.release()  # the flusher, to end

    def abandon(self) -> None:
        """Closes the descriptor and nothing else, in a forked child."""
        fd = self._sock.detach()
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


class LocalReader:
    """A local carrier, as the threads that read it see it."""

    def __init__(self, carrier: LocalCarrier) -> None:
        """Closes the carrier's descriptor when it's closed itself."""
        self._carrier = carrier

    def fileno(self) -> int:
        """The descriptor to wait for; -1 once it's closed."""
        return self._carrier.fileno()

    def step(self) -> bool:
        """Reads what is there and acts on it; False when the lane has ended."""
        return self._carrier.step()

    def close(self) -> None:
        """Closes the descriptor."""
        self._carrier.close()
        self._carrier.abandon()


class StreamCarrier:
    """Frames on a gRPC stream, as many in a message as wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belongs to a stream that is served on this loop.

        Args:
            loop: the loop.
        """
        self.lane: Lane | None = None
        """Set before the first frame."""
        self._loop = loop
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._frames: deque[Frame] = deque()
        self._size = 0
        self._full = False
        self._closed = False
        # Used on the loop only.
        self._news = asyncio.Event()

    def write(self, frame: Frame) -> bool:
        """Takes a frame, without blocking; False: no more until it calls lane.resume()."""
        with self._lock:
            if self._closed:
                raise OSError("the stream has ended")
            first = not self._frames
            self._frames.append(frame)
            self._size += frame.ByteSize()
            self._full = self._size > _STREAM_ROOM
            full = self._full
        if first:
            self._ring()
        return not full

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._news.set)

    async def next_message(self) -> list[Frame] | None:
        """Waits for frames to send; None when there are no more."""
        while True:
            self._news.clear()
            batch, resume, closed = self._take()
            if resume and self.lane is not None:
                self.lane.resume()
            if batch:
                return batch
            if closed:
                return None
            await self._news.wait()

    def _take(self) -> tuple[list[Frame], bool, bool]:
        with self._lock:
            batch: list[Frame] = []
            size = 0
            while self._frames and size < _MESSAGE:
                frame = self._frames.popleft()
                size += frame.ByteSize()
                batch.append(frame)
            self._size -= size
            resume = self._full and self._size <= _STREAM_ROOM
            if resume:
                self._full = False
            return batch, resume, self._closed

    def close(self) -> None:
        """Has the stream end once everything is written."""
        with self._lock:
            self._closed = True
        self._ring()
