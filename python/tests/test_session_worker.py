"""Sessions in a real worker: what its host sends, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from snakepit import _values
from snakepit.v1 import lane_pb2
from worker_host import LaneHost, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOLS = """
import os
from snakepit import Adapter, Context, tool

class Chat(Adapter):
    slots = int(os.environ.get("SLOTS", "1"))

    def setup(self):
        self.log = []

    def on_session_open(self, session):
        self.log.append(["open", session.id, session.epoch])

    def on_session_restore(self, session, saved):
        self.log.append(["restore", session.id, dict(session.state), saved])
        while saved == b"spin":
            pass

    async def on_session_save(self, session):
        return session.id.encode() if await session.state.aget("full") else None

    def on_session_close(self, session, moved):
        raise RuntimeError(f"moved: {moved}")

    @tool
    def hooks(self):
        return self.log

    @tool
    def about(self, ctx: Context):
        s = ctx.session
        return None if s is None else [s.id, s.home, s.epoch, ctx.fencing_token]

    @tool
    def put(self, ctx: Context, key: str, value: object):
        before = ctx.session.state.get(key)
        ctx.session.state[key] = value
        return [before, ctx.session.state[key], ctx.session.state.version(key)]
"""


@pytest.fixture(params=["1", "2"])
def worker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[WorkerProcess]:
    with WorkerProcess(tmp_path, TOOLS, SLOTS=request.param) as process:
        yield process


@pytest.fixture
def lane(worker: WorkerProcess) -> Iterator[LaneHost]:
    with worker.lane() as host:
        yield host


def ask(lane: LaneHost, tool: str, arguments: object = None, **fields: Any) -> lane_pb2.End:
    return lane.end(lane.open(tool, arguments, **fields))


def value(lane: LaneHost, tool: str, arguments: object = None, **fields: Any) -> Any:
    end = ask(lane, tool, arguments, **fields)
    assert not end.HasField("error"), end.error
    return _values.decode(end.payload)


def next_call(lane: LaneHost) -> tuple[int, lane_pb2.Call]:
    while True:
        frame = lane.receive()
        if frame.HasField("call"):
            return frame.call_id, frame.call


def answer(lane: LaneHost, number: int, result: object) -> None:
    end = lane_pb2.End(payload=_values.encode(result))
    lane.send(lane_pb2.Frame(call_id=number, end=end))


def test_worker_says_which_hooks_its_adapter_has(worker: WorkerProcess, tmp_path: Path) -> None:
    described = worker.describe()
    assert [c for c in described.capabilities if c.startswith("session")] == [
        "session_open",
        "session_restore",
        "session_save",
        "session_close",
    ]
    assert [t.name for t in described.tools] == ["about", "hooks", "put"]
    bare = tmp_path / "bare"
    bare.mkdir()
    with WorkerProcess(bare, "from snakepit import tool\n@tool\ndef a(): pass") as other:
        assert list(other.describe().capabilities) == ["lane/local", "lane/grpc"]


def test_session_arrives_with_epoch_and_home(lane: LaneHost) -> None:
    assert value(lane, "about") is None
    assert value(lane, "about", session="s") == ["s", True, 0, 0]
    assert value(lane, "about", session="s", epoch=3, away=True) == ["s", False, 3, 3]


def test_lower_epoch_is_fenced_also_after_the_next_host_has_come(worker: WorkerProcess) -> None:
    with worker.lane() as lane:
        assert value(lane, "about", session="s", epoch=5) == ["s", True, 5, 5]
        end = ask(lane, "about", session="s", epoch=4)
        assert (end.error.reason, end.error.may_have_run) == ("fenced", False)
        assert value(lane, "about", session="t", epoch=4) == ["t", True, 4, 4]
    with worker.lane(incarnation=2) as lane:
        assert ask(lane, "about", session="s", epoch=4).error.reason == "fenced"
        assert value(lane, "about", session="s", epoch=5) == ["s", True, 5, 5]
        assert value(lane, "about", session="s") == ["s", True, 0, 0]


def test_hooks_are_called_as_tools(lane: LaneHost) -> None:
    assert value(lane, "snakepit.session.open", session="s", epoch=2) is None
    state = {"k": _values.encode([1]), "x": _values.encode(None)}
    arguments: dict[str, object] = {"state": state, "saved": b"bytes"}
    assert value(lane, "snakepit.session.restore", arguments, session="t") is None
    arguments = {"state": {}, "saved": None}
    assert value(lane, "snakepit.session.restore", arguments, session="u") is None
    assert value(lane, "hooks") == [
        ["open", "s", 2],
        ["restore", "t", {"k": [1], "x": None}, b"bytes"],
        ["restore", "u", {}, None],
    ]


def test_hook_may_ask_for_the_state(lane: LaneHost) -> None:
    for held, saved in (({"full": [_values.encode(1), 1]}, b"s"), ({}, None)):
        number = lane.open("snakepit.session.save", session="s")
        asked, call = next_call(lane)
        assert (call.tool, call.parent, call.session) == ("snakepit.state.get", number, "s")
        answer(lane, asked, held)
        assert _values.decode(lane.end(number).payload) == saved


def test_hook_that_raises_and_one_that_takes_too_long(lane: LaneHost) -> None:
    error: Any = ask(lane, "snakepit.session.close", {"moved": True}, session="s").error
    assert (error.reason, error.exception.type) == ("python_exception", "RuntimeError")
    assert error.exception.message == "moved: True"
    spin: dict[str, object] = {"state": {}, "saved": b"spin"}
    error = ask(lane, "snakepit.session.restore", spin, session="s", timeout_us=50_000).error
    assert error.reason == "deadline"
    number = lane.open("snakepit.session.restore", spin, session="s")
    lane.wait_until_busy()
    lane.cancel(number)
    assert lane.end(number).error.reason == "cancelled"


def test_hook_that_is_wrongly_called(lane: LaneHost) -> None:
    assert ask(lane, "snakepit.session.open").error.reason == "invalid_arguments"
    wrong = {"state": {"k": 1}, "saved": None}
    error = ask(lane, "snakepit.session.restore", wrong, session="s").error
    assert (error.reason, error.path) == ("invalid_arguments", "$.state[...]")
    assert ask(lane, "snakepit.session.other", session="s").error.reason == "tool_not_found"


def test_state_is_the_hosts(lane: LaneHost) -> None:
    number = lane.open("put", {"key": "k", "value": {"a": 1}}, session="s", epoch=1)
    asked, call = next_call(lane)
    assert (call.tool, call.parent) == ("snakepit.state.get", number)
    answer(lane, asked, {"k": [_values.encode("old"), 6]})
    asked, call = next_call(lane)
    assert (call.tool, call.parent) == ("snakepit.state.set", number)
    changes = [{"key": "k", "value": _values.encode({"a": 1})}]
    assert _values.decode(call.payload) == {"changes": changes}
    answer(lane, asked, 7)
    assert _values.decode(lane.end(number).payload) == ["old", {"a": 1}, 7]


def test_hook_with_the_wrong_parameters_is_a_failed_start(tmp_path: Path) -> None:
    source = TOOLS.replace("on_session_restore(self, session, saved)", "on_session_restore(self)")
    with WorkerProcess(tmp_path, source) as worker:
        with pytest.raises(Exception, match="start_failed"):
            worker.describe()
        assert "def on_session_restore(self, session, saved)" in worker.stderr()
