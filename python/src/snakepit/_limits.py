"""What the two sides of a lane take from each other, as their hellos say."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Final

from snakepit._version import __version__
from snakepit.v1 import lane_pb2

LANE_VERSION: Final = 1


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
