"""The golden frames of proto/LANE.md, which both languages read."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakepit.v1 import lane_pb2

GOLDEN = Path(__file__).parents[2] / "plugin" / "lane" / "testdata" / "frames.txt"


def golden() -> dict[str, bytes]:
    lines = [x.split() for x in GOLDEN.read_text().splitlines() if x and not x.startswith("#")]
    return {name: bytes.fromhex(data) for name, data in lines}


FRAMES = golden()

KINDS = {
    "hello": "hello",
    "call-more": "call",
    "data-empty": "data",
    "half-close": "half_close",
    "end-error": "end",
    "cancel": "cancel",
    "credit-lane": "credit",
    "ping": "ping",
    "pong": "pong",
    "drain": "drain",
    "progress": "progress",
}


@pytest.mark.parametrize("name", list(FRAMES))
def test_frame_is_written_as_it_was_read(name: str) -> None:
    frame = lane_pb2.Frame.FromString(FRAMES[name])
    assert frame.SerializeToString(deterministic=True) == FRAMES[name]


@pytest.mark.parametrize("name", list(KINDS))
def test_frame_is_of_its_kind(name: str) -> None:
    assert lane_pb2.Frame.FromString(FRAMES[name]).WhichOneof("kind") == KINDS[name]


def test_frames_mean_what_they_say() -> None:
    call = lane_pb2.Frame.FromString(FRAMES["call"])
    assert (call.call_id, call.call.tool, call.call.session) == (1, "predict", "user-1")
    assert call.call.metadata["traceparent"].startswith("00-")
    rest = lane_pb2.Frame.FromString(FRAMES["call-rest"])
    assert (rest.call.tool, rest.call.payload, rest.more) == ("", b"second", False)
    unknown = lane_pb2.Frame.FromString(FRAMES["unknown-optional"])
    assert unknown.optional
    assert unknown.WhichOneof("kind") is None
