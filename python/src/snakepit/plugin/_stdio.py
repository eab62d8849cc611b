"""Output that the plugin sends to its host over gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, TextIO

from typing_extensions import override

from snakepit.goplugin import stdio_pb2, stdio_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio
    from google.protobuf import empty_pb2
    from typing_extensions import Buffer

# One message's most bytes, and the most that wait for a host that doesn't read.
_PIECE = 32 << 10
_WAITING = 1 << 20


class Stdio:
    """Two byte streams to the host, which a go-plugin host writes to SyncStdout and SyncStderr.

    Writing never blocks and is safe from any thread. Up to 1 MiB waits for a host that isn't
    reading; beyond that the oldest bytes are dropped, and ``dropped`` counts them. The host that
    has listened last gets it all.
    """

    def __init__(self) -> None:
        self.dropped = 0
        """How many bytes the host never got."""
        self.stdout: io.RawIOBase = _Writer(self, stdio_pb2.StdioData.STDOUT)
        """Bytes for the host's SyncStdout."""
        self.stderr: io.RawIOBase = _Writer(self, stdio_pb2.StdioData.STDERR)
        """Bytes for the host's SyncStderr."""
        # Reentrant: a signal handler may print while the same thread is printing.
        self._lock = threading.RLock()
        # Guarded by _lock.
        self._pieces: deque[stdio_pb2.StdioData] = deque()
        self._waiting = 0
        self._closed = False
        # On the loop only.
        self._streams = 0
        self._newest = 0
        # Set once by bind.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None

    def redirect(self) -> None:
        """Sends what Python prints from now on to the host instead of to standard error."""
        sys.stdout = self._text(self.stdout)
        sys.stderr = self._text(self.stderr)

    @staticmethod
    def _text(raw: io.RawIOBase) -> TextIO:
        buffered = io.BufferedWriter(raw, buffer_size=_PIECE)
        return io.TextIOWrapper(buffered, encoding="utf-8", errors="replace", line_buffering=True)

    def put(self, channel: stdio_pb2.StdioData.Channel, data: bytes) -> None:
        """Queues bytes for the host."""
        with self._lock:
            if self._closed:
                return
            for start in range(0, len(data), _PIECE):
                piece = data[start : start + _PIECE]
                self._pieces.append(stdio_pb2.StdioData(channel=channel, data=piece))
                self._waiting += len(piece)
            while self._waiting > _WAITING:
                size = len(self._pieces.popleft().data)
                self._waiting -= size
                self.dropped += size
        self._wake()

    def take(self) -> stdio_pb2.StdioData | None:
        """Removes the oldest piece."""
        with self._lock:
            if not self._pieces:
                return None
            piece = self._pieces.popleft()
            self._waiting -= len(piece.data)
            return piece

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Names the loop that runs the streams; called on it."""
        self._changed = asyncio.Event()
        self._loop = loop

    def close(self) -> None:
        """Lets the streams end when they have sent what waits."""
        with self._lock:
            self._closed = True
        self._wake()

    async def stream(self) -> AsyncIterator[stdio_pb2.StdioData]:
        """Yields what is written, until close, or until a host that reattached asks for it."""
        if self._changed is None:
            return
        self._streams += 1
        self._newest = ours = self._newest + 1
        self._changed.set()  # for the one before, to end
        try:
            while ours == self._newest:
                self._changed.clear()
                while ours == self._newest and (piece := self.take()) is not None:
                    yield piece
                if self._closed:
                    return
                await self._changed.wait()
        finally:
            self._streams -= 1

    async def drain(self, within: float) -> None:
        """Waits until the host, if it listens at all, has been sent what waits.

        Args:
            within: how long at most, in seconds.
        """
        end = asyncio.get_running_loop().time() + within
        while self._streams and self._waiting and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110  once, at the end
            await asyncio.sleep(0.001)

    def _wake(self) -> None:
        loop, changed = self._loop, self._changed
        if loop is not None and changed is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed.set)


class _Writer(io.RawIOBase):
    """One of the two streams, as a file."""

    def __init__(self, stdio: Stdio, channel: stdio_pb2.StdioData.Channel) -> None:
        super().__init__()
        self._stdio = stdio
        self._channel: stdio_pb2.StdioData.Channel = channel

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, data: Buffer, /) -> int:
        copy = bytes(data)
        self._stdio.put(self._channel, copy)
        return len(copy)


class StdioServicer(stdio_pb2_grpc.GRPCStdioServicer):
    """GRPCStdio: holds the stream open for as long as the plugin lives."""

    def __init__(self, stdio: Stdio) -> None:
        self._stdio = stdio

    @override
    async def StreamStdio(
        self,
        request: empty_pb2.Empty,
        context: grpc.aio.ServicerContext[empty_pb2.Empty, stdio_pb2.StdioData],
    ) -> AsyncIterator[stdio_pb2.StdioData]:
        async for piece in self._stdio.stream():
            yield piece
