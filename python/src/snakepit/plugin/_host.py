"""Tells whether the host is still there."""

from __future__ import annotations

import os
import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from snakepit.plugin._listen import Address

# How often to look, in seconds, while the host is there, and while it may be gone.
_CALM, _ALERT = 5.0, 0.1

# How long a lost connection is forgiven while the parent lives: it may be a launcher, like a
# shell, that outlives its host; or a host that connects anew.
_LAUNCHER_GRACE = 5.0


class HostWatch:
    """Watches the parent process and the host's connections.

    The host is gone when its connection has been missing for ``grace`` seconds and our parent is
    dead; or for five seconds at least, when the parent still lives. It never asks the event loop,
    which may be busy.

    A guarded process has a parent that outlives its host and keeps it for the next one: there only
    the parent's death counts, and connections don't.
    """

    def __init__(self, grace: float, *, guarded: bool = False) -> None:
        """Remembers the parent.

        Args:
            grace: how long to wait for another host, in seconds.
            guarded: the parent decides how long to wait.
        """
        self.guarded = guarded
        """Whether the parent decides how long to wait for another host."""
        self._grace = grace
        self._parent = os.getppid()
        self._pidfd = _open_pidfd(self._parent)
        self._seen = False
        self._lost_at: float | None = None
        self._address: Address | None = None
        self.streams = 0
        """How many broker streams are open; used where the kernel can't be asked."""

    @property
    def pidfd(self) -> int | None:
        """A descriptor that becomes readable when the parent dies; None where there is none."""
        return self._pidfd

    def listen_on(self, address: Address) -> None:
        """Names the address that the host connects to."""
        self._address = address

    def gone(self, now: float) -> bool:
        """Decides whether the host is gone, at this instant of the monotonic clock."""
        if self.guarded:
            return not self._parent_lives()
        if self._connected():
            self._seen = True
            self._lost_at = None
            return False
        parent_lives = self._parent_lives()
        if parent_lives and not self._seen:  # it hasn't connected yet
            return False
        if self._lost_at is None:
            self._lost_at = now
        grace = max(self._grace, _LAUNCHER_GRACE) if parent_lives else self._grace
        return now - self._lost_at >= grace

    def pause(self) -> float:
        """Says how long to wait before the next look, in seconds."""
        if self._lost_at is not None or not self._parent_lives():
            return _ALERT
        # Without a pidfd nothing wakes us when the parent dies.
        return _CALM if self._pidfd is not None else _ALERT * 2

    def _parent_lives(self) -> bool:
        return os.getppid() == self._parent

    def _connected(self) -> bool:
        if self._address is None:
            return False
        peers = _peers(self._address)
        return self.streams > 0 if peers is None else peers > 0


def _open_pidfd(parent: int) -> int | None:
    try:
        fd = os.pidfd_open(parent)
    except (AttributeError, OSError):  # not Linux, or not allowed
        return None
    if os.getppid() != parent:  # it died, and the number may be another's
        os.close(fd)
        return None
    return fd


def _peers(address: Address) -> int | None:
    """Counts the live connections to a listening address; None where that can't be seen."""
    ours = _sockets({address.address})
    return None if ours is None else sum(_is_connected(sock) for _, sock in ours)


def abandon_connections(addresses: Container[str]) -> None:
    """Lets go, in a forked child, of the listeners and the connections that the parent serves.

    The numbers stay taken, so that gRPC's own objects, when they die, close nobody else's.

    Args:
        addresses: where the parent listens, as in Address.address.
    """
    abandon_descriptors(fd for fd, _ in _sockets(addresses) or ())


def abandon_descriptors(fds: Iterable[int]) -> None:
    """Makes descriptors of a forked child lead nowhere; their numbers stay taken."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in fds:
        os.dup2(null, fd, inheritable=False)
    os.close(null)


def _sockets(addresses: Container[str]) -> Iterator[tuple[int, socket.socket]] | None:
    """Finds our descriptors of the listeners at addresses and of the connections they accepted.

    Yields each with a copy of it, which is closed afterwards; None where they can't be seen.
    """
    try:
        names = os.listdir("/proc/self/fd")  # noqa: PTH208  quicker than building paths
    except OSError:
        return None
    return _bound(map(int, names), addresses)


def _bound(fds: Iterable[int], addresses: Container[str]) -> Iterator[tuple[int, socket.socket]]:
    for fd in fds:
        sock = _copy(fd)
        if sock is None:
            continue
        with sock:
            name: object = sock.getsockname()
            if isinstance(name, tuple):
                name = ":".join(map(str, name[:2]))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            if isinstance(name, str) and name in addresses:
                yield fd, sock


def _copy(fd: int) -> socket.socket | None:
    try:
        copy = os.dup(fd)
    except OSError:  # closed by now
        return None
    try:
        return socket.socket(fileno=copy)
    except OSError:  # something else
        os.close(copy)
        return None


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:  # the listener, or cut off
        return False
    poller = select.poll()
    poller.register(sock, select.POLLRDHUP)
    return not poller.poll(0)
