"""The cookie, the choice of a version, and the handshake line."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# go-plugin's own protocol, unchanged since its first release.
_CORE_VERSION = 1

_NOT_BY_HAND = (
    "This program is a plugin. It isn't meant to be run by hand:\n"
    "the program that uses it starts it, and talks to it over gRPC.\n"
)


@dataclass(frozen=True)
class Handshake:
    """The magic cookie that host and plugin share.

    It keeps people from starting the plugin by hand; it's no security measure.
    """

    key: str
    """The environment variable that the host sets."""
    value: str
    """What the variable must hold."""

    def present(self) -> bool:
        """Tells whether this process was started with the cookie."""
        return os.environ.get(self.key) == self.value

    def check(self, text: str | None = None) -> None:
        """Ends a process that was started without the cookie.

        Args:
            text: what to say on standard error; without it, that this is a plugin.

        Raises:
            SystemExit: with status 1, when the cookie is missing or wrong.
        """
        if self.present():
            return
        sys.stderr.write(_NOT_BY_HAND if text is None else text.rstrip("\n") + "\n")
        sys.stderr.flush()
        raise SystemExit(1)


def choose_version(offered: str, own: Iterable[int]) -> int:
    """Picks the highest of our versions that the host offers.

    Without one in common it's our lowest: the host then says what it wanted.

    Args:
        offered: PLUGIN_PROTOCOL_VERSIONS, numbers in any order with commas between.
        own: the versions that the plugin serves, at least one.
    """
    theirs: set[int] = set()
    for word in filter(None, (part.strip() for part in offered.split(","))):
        try:
            theirs.add(int(word))
        except ValueError:
            sys.stderr.write(f"plugin: not a protocol version: {word[:32]!r}\n")
    ours = sorted(own)
    common = [version for version in ours if version in theirs]
    return common[-1] if common else ours[0]


def handshake_line(version: int, network: str, address: str, certificate: str) -> str:
    """Builds the handshake line, without its newline.

    There is never a seventh field: it would promise go-plugin's multiplexed broker.
    """
    return f"{_CORE_VERSION}|{version}|{network}|{address}|grpc|{certificate}"
