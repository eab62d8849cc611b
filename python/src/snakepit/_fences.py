"""The highest epoch that a worker has seen of each session."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_SESSIONS: Final = 100_000


class Fences:
    """Tells calls of a session's owner from those of one that was replaced.

    It remembers so many sessions and forgets those first that haven't been called for longest. It's
    the process's: the next host finds what the last one's calls have left. Not for several threads.
    """

    def __init__(self, most: int = MAX_SESSIONS) -> None:
        """Remembers nothing yet.

        Args:
            most: how many sessions are remembered.
        """
        self._most = most
        self._highest: OrderedDict[str, int] = OrderedDict()

    def see(self, session: str, epoch: int) -> int:
        """Takes in a call's epoch; gives the highest of its session, this one included."""
        highest = max(epoch, self._highest.get(session, 0))
        self._highest[session] = highest
        self._highest.move_to_end(session)
        if len(self._highest) > self._most:
            self._highest.popitem(last=False)
        return highest

    def highest(self, session: str) -> int:
        """Gives the highest epoch of a session; 0 when none is remembered."""
        return self._highest.get(session, 0)
