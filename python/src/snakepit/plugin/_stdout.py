"""Keeps standard output for the handshake line; imports so little that it can come first."""

from __future__ import annotations

import errno
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from typing_extensions import Buffer

_handshake_fd: int | None = None
_claimed = False


def claim_stdout() -> None:
    """Takes standard output away from the program and keeps it for the handshake line.

    From now on whatever is printed lands on standard error, also from C code and from child
    processes. What Python printed before and still holds in its buffer lands there too. Call it
    before other imports; calling it again does nothing.

    Printing never fails from now on: what nobody reads any more, since the host is gone, or what
    has no room on a disk, is lost.
    """
    global _handshake_fd, _claimed  # noqa: PLW0603  the process has one standard output
    if _claimed:
        return
    _claimed = True
    try:
        os.fstat(2)
    except OSError:  # started without a standard error
        _mute(2)
    try:
        _handshake_fd = os.dup(1)
    except OSError:  # started without a standard output: announce() says so
        _handshake_fd = None
    os.dup2(2, 1)
    # Line by line, as on a terminal: the process may end by os._exit.
    sys.stdout = _patient(sys.stdout, 1, "<stdout>")
    sys.stderr = _patient(sys.stderr, 2, "<stderr>")
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc, assignment]  # pyright: ignore[reportAttributeAccessIssue, reportConstantRedefinition]


def _patient(stream: TextIO | None, fd: int, name: str) -> TextIO:
    """Makes a stream to a descriptor, in place of a standard one."""
    if stream is not None:
        try:
            if stream.fileno() != fd:
                return stream  # not ours
            stream.flush()
        except (OSError, ValueError):  # kept in memory, or already closed
            return stream
    raw = _Patient(fd, "wb", closefd=False)
    raw.name = name
    encoding = stream.encoding if stream is not None else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True
    )


class _Patient(io.FileIO):
    """Writes that go well whoever reads, or nobody."""

    def write(self, data: Buffer, /) -> int:  # type: ignore[explicit-override]  # no typing here
        try:
            return super().write(data)
        except OSError as e:
            if e.errno == errno.EBADF:
                raise  # whoever has closed it is to know
            if e.errno in {errno.EPIPE, errno.ECONNRESET}:
                # For good. Processes that a tool starts would die of SIGPIPE.
                _mute(*(fd for fd in (1, 2) if _same(fd, self.fileno())))
            return memoryview(data).nbytes


def _same(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False


def _mute(*fds: int) -> None:
    """Makes descriptors lead nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    for fd in fds:
        os.dup2(null, fd)
        os.set_inheritable(fd, True)  # also where it was free, and is null itself
    if null not in fds:
        os.close(null)


def reclaim() -> None:
    """Does it anew in a forked child that has been given descriptors 0 to 2 of its own."""
    global _handshake_fd  # noqa: PLW0603  as above
    if _handshake_fd is not None:
        os.close(_handshake_fd)
    _handshake_fd = os.dup(1)
    os.dup2(2, 1)


def say(line: str) -> None:
    """Writes a line where the handshake line goes, before that.

    Raises:
        OSError: as announce does.
    """
    if _handshake_fd is None:
        msg = "standard output is closed or was used already"
        raise OSError(msg)
    data = line.encode() + b"\n"
    while data:
        data = data[os.write(_handshake_fd, data) :]


def announce(line: str) -> None:
    """Writes the handshake line and closes the descriptor that was kept for it.

    Raises:
        OSError: nobody reads it (the host is gone), or there was no standard output.
    """
    global _handshake_fd
    try:
        say(line)
    finally:
        fd, _handshake_fd = _handshake_fd, None
        if fd is not None:
            os.close(fd)
