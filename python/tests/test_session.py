"""Sessions: their state, their hooks and their epochs, through the harness."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest
from typing_extensions import override

from snakepit import Adapter, Context, DefinitionError, Session, State, errors, tool
from snakepit._adapter import collect, read_ahead
from snakepit._fences import Fences
from snakepit._session import GET, SET
from snakepit.testing import Harness


def session_of(ctx: Context) -> Session:
    assert ctx.session is not None
    return ctx.session


Do = Callable[[State], Any]


class Lab(Adapter):
    """Runs a test's code inside a tool."""

    slots = 4

    def __init__(self) -> None:
        self.do: Do = len
        self.seen: list[Any] = []

    @tool
    def run(self, ctx: Context) -> Any:
        return self.do(session_of(ctx).state)

    @tool
    async def run_later(self, ctx: Context) -> Any:
        return await self.do(session_of(ctx).state)

    @tool
    def about(self, ctx: Context) -> list[Any]:
        s = ctx.session
        return [] if s is None else [s.id, s.home, s.epoch, s.fencing_token, ctx.fencing_token]


def within(do: Do, *, before: Mapping[str, Any] | None = None, later: bool = False) -> Any:
    """Runs code in a tool of session s, and gives its result with the state afterwards."""
    lab = Lab()
    lab.do = do
    with Harness(lab, session="s") as harness:
        harness.set_state(before or {})
        result = harness.call("run_later" if later else "run")
        return result, harness.state()


# The state.


def test_state_is_a_mapping() -> None:
    def do(state: State) -> Any:
        assert state["a"] == [1, {"x": b"y"}]
        assert state.get("none", "d") == "d"
        assert "a" in state
        assert "none" not in state
        assert len(state) == 2
        assert list(state) == ["a", "b"]
        assert dict(state) == {"a": [1, {"x": b"y"}], "b": None}
        with pytest.raises(KeyError):
            state["none"]
        with pytest.raises(KeyError):
            del state["none"]
        state["c"] = 3
        del state["b"]
        state.update({"d": 4}, e=5)
        assert state.pop("c") == 3
        assert state.setdefault("f", []) == []
        return list(state)

    before = {"a": [1, {"x": b"y"}], "b": None}
    result, after = within(do, before=before)
    assert result == ["a", "d", "e", "f"]
    assert after == {"a": [1, {"x": b"y"}], "d": 4, "e": 5, "f": []}


def test_state_outlives_the_call_and_belongs_to_its_session() -> None:
    lab = Lab()
    with Harness(lab, session="s") as harness:
        lab.do = lambda state: state.update(a=1)
        harness.call("run")
        lab.do = dict
        assert harness.call("run") == {"a": 1}
        harness.session = "other"
        assert harness.call("run") == {}
        assert (harness.state("s"), harness.state()) == ({"a": 1}, {})


def test_what_the_state_gives_is_a_copy() -> None:
    def do(state: State) -> Any:
        state["a"].append(1)
        return state["a"]

    assert within(do, before={"a": []}) == ([], {"a": []})


class Asked:
    """A port that answers from a script, and notes what it was asked."""

    reason = None

    def __init__(self, *answers: Any) -> None:
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.answers = list(answers)

    def report(self, done: float, total: float, message: str) -> None:
        raise NotImplementedError

    def ask(self, tool: str, arguments: Mapping[str, object]) -> Any:
        self.asked.append((tool, arguments))
        answer = self.answers.pop(0)
        if callable(answer):
            answer = answer()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def ask_later(self, tool: str, arguments: Mapping[str, object]) -> Any:
        await asyncio.sleep(0)
        return self.ask(tool, arguments)

    def in_loop(self) -> bool:
        return False

    def next_input(self) -> Any:
        raise NotImplementedError

    async def next_input_later(self) -> Any:
        raise NotImplementedError


def test_state_is_read_once_and_written_at_once() -> None:
    port = Asked({"a": [b"\x01", 3]}, 4)
    state = State(port)
    assert not port.asked
    assert (state["a"], len(state), state.version("a")) == (1, 1, 3)
    state["b"] = 2
    assert (state["b"], state.version("b"), state.version("c")) == (2, 4, 0)
    change = {"key": "b", "value": b"\x02"}
    assert port.asked == [(GET, {}), (SET, {"changes": [change]})]


def test_several_changes_are_one_write() -> None:
    port = Asked(3)
    assert State(port).write({"c": 3}, delete=["a"], expected={"a": 1, "c": 0}) == 3
    changes = [{"key": "c", "value": b"\x03", "expected": 0}, {"key": "a", "expected": 1}]
    assert port.asked == [(SET, {"changes": changes})]


def test_nothing_to_write_asks_nobody() -> None:
    port = Asked()
    State(port).update({})
    assert State(port).write() == 0
    assert not port.asked


def test_clear_is_one_write() -> None:
    port = Asked({"a": [b"\x01", 1], "b": [b"\x02", 2]}, 3)
    state = State(port)
    state.clear()
    assert port.asked[1] == (SET, {"changes": [{"key": "a"}, {"key": "b"}]})
    assert not state


def test_write_that_failed_has_the_state_read_again() -> None:
    port = Asked({}, errors.FencedError("gone"), {"a": [b"\x05", 9]})
    state = State(port)
    assert "a" not in state
    with pytest.raises(errors.FencedError):
        state["a"] = 1
    assert state["a"] == 5


def test_read_that_a_write_overtakes_is_done_again() -> None:
    state: State

    def write_meanwhile() -> Any:
        state["a"] = 2  # as another thread of the tool would
        return {"a": [b"\x01", 1]}

    port = Asked(write_meanwhile, 2, {"a": [b"\x02", 2]})
    state = State(port)
    assert state["a"] == 2
    assert [tool for tool, _ in port.asked] == [GET, SET, GET]


def test_writes_at_once_leave_no_guess_behind() -> None:
    async def both() -> Any:
        port = Asked({}, 1, 2, {"a": [b"\x07", 2]})
        state = State(port)
        await state.aload()
        await asyncio.gather(state.aset("a", 7), state.aset("a", 8))
        return await state.aget("a")

    assert asyncio.run(both()) == 7


def test_compare_and_set_tells_the_version_that_is_there() -> None:
    def do(state: State) -> Any:
        first = state.set("a", 1, expected=0)
        assert state.version("a") == first
        with pytest.raises(errors.ConflictError, match="version") as caught:
            state.set("a", 2, expected=0)
        assert (caught.value.key, caught.value.version) == ("a", first)
        second = state.set("a", 2, expected=caught.value.version)
        assert second > first
        with pytest.raises(errors.ConflictError):
            state.delete("a", expected=first)
        with pytest.raises(errors.ConflictError) as caught:
            state.write({"b": 1}, delete=["a"], expected={"b": 0, "a": first})
        assert (caught.value.key, caught.value.version) == ("a", second)
        assert dict(state) == {"a": 2}  # neither was done
        state.delete("a", expected=second)
        return None

    assert within(do) == (None, {})


def test_conflict_shows_what_the_other_one_wrote() -> None:
    other = errors.ConflictError("no")
    port = Asked({"n": [b"\x01", 1]}, other, {"n": [b"\x05", 4]}, 5)
    state = State(port)
    with pytest.raises(errors.ConflictError) as caught:
        state.set("n", state["n"] + 1, expected=state.version("n"))
    assert caught.value.version == state.version("n") == 4
    state.set("n", state["n"] + 1, expected=state.version("n"))
    assert (state["n"], state.version("n"), len(port.answers)) == (6, 5, 0)


def test_state_has_forms_for_async_def() -> None:
    async def do(state: State) -> Any:
        with pytest.raises(RuntimeError, match=r"await state\.aget"):
            state["a"]
        with pytest.raises(RuntimeError, match=r"await state\.aset"):
            state["a"] = 1
        assert await state.aget("a") == 1
        assert await state.aget("none", 7) == 7
        assert state["a"] == 1  # it's known by now
        version = await state.aset("b", 2, expected=0)
        assert await state.aversion("b") == version
        with pytest.raises(errors.ConflictError) as caught:
            await state.aset("b", 3, expected=0)
        assert caught.value.version == version
        await state.aupdate({"c": 3}, d=4)
        await state.adelete("a")
        assert await state.awrite({"e": 5}, delete=["d"]) > version
        await state.aload()
        return list(state)

    result, after = within(do, before={"a": 1}, later=True)
    assert result == ["b", "c", "e"]
    assert after == {"b": 2, "c": 3, "e": 5}


@pytest.mark.parametrize(
    ("key", "kind"), [("", ValueError), ("é" * 129, ValueError), (1, TypeError)]
)
def test_key_that_cannot_be_is_refused(key: Any, kind: type[Exception]) -> None:
    port = Asked()
    with pytest.raises(kind, match="a state's keys"):
        State(port)[key] = 1
    assert not port.asked


def test_value_that_is_too_large_is_refused() -> None:
    def do(state: State) -> Any:
        state["a"] = bytes(4093)
        with pytest.raises(errors.PayloadTooLargeError, match="'b' has 4097 bytes") as caught:
            state["b"] = bytes(4094)
        assert "on_session_save" in caught.value.hint
        with pytest.raises(errors.PayloadTooLargeError):
            state.update({str(i): bytes(4000) for i in range(20)})
        with pytest.raises(errors.PayloadTooLargeError):
            state.update({str(i): 0 for i in range(65)})
        return len(state)

    assert within(do)[0] == 1


def test_value_that_cannot_travel_is_refused() -> None:
    port = Asked()
    with pytest.raises(errors.InvalidArgumentsError, match="the state can't keep what 'a'"):
        State(port)["a"] = [print]
    assert not port.asked


def test_write_that_contradicts_itself_is_refused() -> None:
    state = State(Asked())
    with pytest.raises(ValueError, match="set and deleted at once"):
        state.write({"a": 1}, delete=["a"])
    with pytest.raises(ValueError, match="isn't written"):
        state.write({"a": 1}, expected={"b": 1})
    with pytest.raises(TypeError, match="a list of keys"):
        state.write(delete="key")


def test_session_tells_of_itself() -> None:
    with Harness(Lab) as harness:
        assert harness.call("about") == []
        harness.session = "s"
        assert harness.call("about") == ["s", True, 1, 1, 1]
        harness.home, harness.epoch = False, 7
        assert harness.call("about") == ["s", False, 7, 7, 7]


def test_sessions_of_one_id_are_equal() -> None:
    a, b = Session(Asked(), "a"), Session(Asked(), "a", epoch=2)
    assert a == b
    assert len({a, b, Session(Asked(), "b")}) == 2
    assert repr(b) == "Session('a', home=True, epoch=2)"
    assert repr(a.state) == "<State, not read yet>"


# Hooks.


class Chat(Adapter):
    """Has all hooks, and notes them."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.lines: dict[str, list[str]] = {}
        self.fail = ""

    @override
    def on_session_open(self, session: Session) -> None:
        if self.fail:
            raise ValueError(self.fail)
        self.log.append(("open", session.id, session.epoch))
        self.lines[session.id] = []

    @override
    async def on_session_restore(self, session: Session, saved: bytes | None) -> None:
        n = session.state.get("n", 0)  # it came along: nobody is asked, so it's allowed here
        self.log.append(("restore", session.id, session.epoch, n, saved))
        self.lines[session.id] = saved.decode().split() if saved else ["?"] * n

    @override
    def on_session_save(self, session: Session) -> bytes | None:
        lines = self.lines[session.id]
        return " ".join(lines).encode() if lines else None

    @override
    def on_session_close(self, session: Session, moved: bool) -> None:
        self.log.append(("close", session.id, moved))
        del self.lines[session.id]

    @tool
    def say(self, ctx: Context, text: str) -> int:
        session = session_of(ctx)
        self.lines[session.id].append(text)
        session.state["n"] = len(self.lines[session.id])
        return len(self.lines[session.id])

    @tool
    def history(self, ctx: Context) -> list[str]:
        return self.lines[session_of(ctx).id]


def test_first_call_of_a_session_opens_it() -> None:
    with Harness(Chat, session="ann") as chat:
        assert chat.adapter.log == []
        chat.call("say", text="a")
        chat.call("say", text="b")
        assert chat.adapter.log == [("open", "ann", 1)]
        chat.session = "bob"
        assert chat.call("history") == []
        chat.close_session()
        assert chat.adapter.log[1:] == [("open", "bob", 1), ("close", "bob", False)]
        assert list(chat.adapter.lines) == ["ann"]


def test_session_of_a_dead_worker_is_rebuilt_from_its_state() -> None:
    with Harness(Chat, session="s") as first, Harness(Chat, session="s") as second:
        first.call("say", text="a")
        first.call("say", text="b")
        second.take_over(first)
        assert second.call("history") == ["?", "?"]
        assert second.adapter.log == [("restore", "s", 2, 2, None)]
        assert second.call("say", text="c") == 3
        with pytest.raises(errors.FencedError):  # it isn't dead, it was only cut off
            first.call("say", text="late")
        assert second.state() == {"n": 3}


def test_session_that_moves_takes_what_was_saved_along() -> None:
    with Harness(Chat, session="s") as first, Harness(Chat, session="s") as second:
        first.call("say", text="a")
        second.take_over(first, planned=True)
        assert first.adapter.log[-1] == ("close", "s", True)
        assert second.call("history") == ["a"]
        assert second.adapter.log == [("restore", "s", 2, 1, b"a")]


def test_hook_of_an_adapter_without_it_is_nothing() -> None:
    with Harness(Lab, session="s") as harness:
        harness.open_session()
        assert harness.save_session() is None
        harness.restore_session(b"x")
        harness.close_session()
        harness.session = None
        with pytest.raises(ValueError, match="name one"):
            harness.open_session()


def test_open_that_fails_fails_the_call_and_is_tried_again() -> None:
    with Harness(Chat, session="s") as chat:
        chat.adapter.fail = "no room"
        with pytest.raises(errors.ToolFailedError, match="no room") as caught:
            chat.call("history")
        assert caught.value.where.tool == "snakepit.session.open"
        chat.adapter.fail = ""
        assert chat.call("history") == []


def test_version_in_a_restore_is_asked_for() -> None:
    class Versions(Adapter):
        seen: tuple[Any, ...] = ()

        @override
        def on_session_restore(self, session: Session, saved: bytes | None) -> None:
            state = session.state
            self.seen = (state["a"], state.version("a"), state.version("none"))
            state.set("a", 2, expected=state.version("a"))

        @tool
        def nothing(self) -> None: ...

    with Harness(Versions, session="s") as harness:
        harness.set_state({"a": 1})
        harness.restore_session()
        assert harness.adapter.seen == (1, 1, 0)
        assert harness.state() == {"a": 2}


def test_hooks_are_no_tools() -> None:
    box = collect(Chat)
    assert list(box.tools) == ["history", "say"]
    assert box.capabilities == (
        "session_open",
        "session_restore",
        "session_save",
        "session_close",
    )
    assert collect(Lab).capabilities == ()


def test_class_of_no_base_may_have_hooks() -> None:
    class Plain:
        log: list[str] = []  # noqa: RUF012

        def on_session_open(self, session: Session) -> None:
            self.log.append(session.id)

        @tool
        def nothing(self) -> None: ...

    with Harness(Plain, session="s") as harness:
        harness.call("nothing")
        assert Plain.log == ["s"]


def test_reading_ahead_reads_hooks_too() -> None:
    module = ModuleType("made_up")
    Chat.__module__, before = "made_up", Chat.__module__
    try:
        module.__dict__["Chat"] = Chat
        read_ahead(module)
    finally:
        Chat.__module__ = before


def hooked(**attributes: Any) -> type:
    def nothing(self: object) -> None: ...

    return type("Made", (Adapter,), {"nothing": tool(nothing), **attributes})


def alone(_self: object) -> None: ...


def with_session(_self: object, _session: Session) -> None: ...


def with_more(_self: object, _session: Session, _moved: bool, _more: int) -> None: ...


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"on_session_open": alone}, r"def on_session_open\(self, session\)"),
        (
            {"on_session_restore": with_session},
            r"called with session, saved \(.*\): def on_session_restore\(self, session, saved\)",
        ),
        ({"on_session_close": with_more}, r"def on_session_close\(self, session, moved\)"),
        ({"on_session_save": b"x"}, "Made.on_session_save is a hook, so it's a method"),
        ({"on_session_opened": with_session}, "no hook; did you mean on_session_open"),
    ],
)
def test_hook_that_cannot_be_called_is_refused(hooks: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        collect(hooked(**hooks))


def test_hook_that_yields_is_refused() -> None:
    def on_session_save(_self: object, _session: Session) -> Any:
        yield b""

    with pytest.raises(DefinitionError, match="yields, and a hook returns"):
        collect(hooked(on_session_save=on_session_save))


def test_hook_that_is_a_tool_is_refused() -> None:
    def on_session_open(_self: object, _session: int) -> None: ...

    with pytest.raises(DefinitionError, match="can't be a tool as well"):
        collect(hooked(on_session_open=tool(on_session_open)))


def test_method_of_another_name_is_the_adapters_own() -> None:
    def mine(_self: object) -> None: ...

    assert collect(hooked(on_session_timeout=mine)).capabilities == ()


def test_saved_is_bytes() -> None:
    def on_session_save(_self: object, _session: Session) -> Any:
        return {"not": "bytes"}

    with Harness(hooked(on_session_save=on_session_save), session="s") as harness:
        with pytest.raises(errors.ToolFailedError, match="gives bytes or None, not dict"):
            harness.save_session()
        harness.adapter.on_session_save = None


def test_tools_with_the_hosts_names_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"begin with 'snakepit\.' are Snakepit's"):

        @tool(name="snakepit.session.open")
        def mine() -> None: ...


# Epochs.


def test_call_of_a_lower_epoch_never_runs() -> None:
    lab = Lab()
    ran: list[int] = []
    lab.do = lambda _state: ran.append(1)
    with Harness(lab, session="s") as harness:

        def call(session: str, epoch: int) -> None:
            harness.session, harness.epoch = session, epoch
            harness.call("run")

        for session, epoch, fenced in (
            ("s", 5, False),
            ("s", 5, False),
            ("s", 4, True),
            ("s", 9, False),
            ("s", 8, True),
            ("other", 1, False),
            ("s", 0, False),  # none
            ("s", 9, False),
        ):
            before = len(ran)
            if not fenced:
                call(session, epoch)
                assert len(ran) == before + 1
                continue
            with pytest.raises(errors.FencedError) as caught:
                call(session, epoch)
            assert not caught.value.may_have_run
            assert (caught.value.where.session, len(ran)) == (session, before)


@pytest.mark.parametrize("later", [False, True])
def test_call_that_waits_is_overtaken_by_a_newer_owner(later: bool) -> None:
    class Queue(Adapter):
        began, go = threading.Event(), threading.Event()
        ran = 0

        @tool
        def hold(self) -> None:
            self.began.set()
            self.go.wait(30)

        @tool
        def old(self) -> None:
            self.ran += 1

        @tool
        async def old_later(self) -> None:
            self.ran += 1

    with Harness(Queue, session="s") as harness:
        holds = harness.start("hold")
        harness.adapter.began.wait(30)
        harness.epoch = 3
        old = harness.start("old_later" if later else "old")
        harness.epoch = 4
        new = harness.start("hold")
        harness.adapter.go.set()
        holds.result()
        with pytest.raises(errors.FencedError) as caught:
            old.result()
        assert not caught.value.may_have_run
        new.result()
        assert harness.adapter.ran == 0


def test_fences_forget_who_was_not_called_for_longest() -> None:
    fences = Fences(3)
    for name in "abc":
        fences.see(name, 5)
    fences.see("a", 1)
    fences.see("d", 5)
    assert [fences.highest(name) for name in "abcd"] == [5, 0, 5, 5]
