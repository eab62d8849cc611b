"""Keeps standard output for the handshake line; imports so little that it can come first."""

from __future__ import annotations

import os
import sys

_handshake_fd: int | None = None
_claimed = False


def claim_stdout() -> None:
    """Takes standard output away from the program and keeps it for the handshake line.

    From now on whatever is printed lands on standard error, also from C code and from child
    processes. What Python printed before and still holds in its buffer lands there too. Call it
    before other imports; calling it again does nothing.
    """
    global _handshake_fd, _claimed  # noqa: PLW0603  the process has one standard output
    if _claimed:
        return
    _claimed = True
    try:
        _handshake_fd = os.dup(1)
    except OSError:  # started without a standard output: announce() says so
        _handshake_fd = None
    try:
        os.dup2(2, 1)
    except OSError:  # started without a standard error either
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
    # Line by line, as on a terminal: the process may end by os._exit.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)


def announce(line: str) -> None:
    """Writes the handshake line and closes the descriptor that was kept for it.

    Raises:
        OSError: nobody reads it (the host is gone), or there was no standard output.
    """
    global _handshake_fd
    fd, _handshake_fd = _handshake_fd, None
    if fd is None:
        msg = "standard output is closed or was used already"
        raise OSError(msg)
    try:
        data = line.encode() + b"\n"
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)
