"""The interrupt of a running tool: once, in the tool's own code, and never later."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from snakepit import Cancelled
from snakepit._interrupt import SignalInterrupt, Token, run, thread_token

MakeToken = Callable[[], Token]


@pytest.fixture(params=["signal", "thread"])
def make_token(request: pytest.FixtureRequest) -> MakeToken:
    """Makes tokens for this thread, which is the main one."""
    return SignalInterrupt().token if request.param == "signal" else thread_token


def interrupted(token: Token, body: Callable[[threading.Lock], Any]) -> BaseException | None:
    """Runs a body and asks for its interrupt when it says so."""
    # Plain locks: the interrupt may come anywhere, also inside of what is written in Python.
    began = threading.Lock()
    began.acquire()
    ended = threading.Event()

    def ask() -> None:
        assert began.acquire(timeout=10)
        token.request("cancelled")
        while token.remind():
            ended.wait(0.001)

    asking = threading.Thread(target=ask)
    asking.start()
    _, failure = run(token, lambda: body(began))
    ended.set()
    asking.join()
    return failure


def spin(began: threading.Lock) -> None:
    began.release()
    while True:
        pass


def swallow(began: threading.Lock) -> None:
    began.release()
    while True:
        try:
            time.sleep(0.001)
        except Exception:  # noqa: BLE001, S112
            continue


def test_loop_is_interrupted(make_token: MakeToken) -> None:
    assert isinstance(interrupted(make_token(), spin), Cancelled)


def test_loop_that_catches_exceptions_is_interrupted(make_token: MakeToken) -> None:
    assert isinstance(interrupted(make_token(), swallow), Cancelled)


def sleep(began: threading.Lock) -> None:
    began.release()
    time.sleep(60)


def lock(began: threading.Lock) -> None:
    held = threading.Lock()
    held.acquire()
    began.release()
    held.acquire()


def read(began: threading.Lock) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        began.release()
        ours.recv(1)


@pytest.mark.parametrize("body", [sleep, lock, read])
def test_signal_interrupts_what_waits(body: Callable[[threading.Lock], None]) -> None:
    assert isinstance(interrupted(SignalInterrupt().token(), body), Cancelled)


def test_request_before_the_body_is_raised_as_it_begins(make_token: MakeToken) -> None:
    token = make_token()
    token.request("deadline")
    ran: list[int] = []
    _, failure = run(token, lambda: ran.append(1))
    assert isinstance(failure, Cancelled)
    assert failure.reason == "deadline"
    assert not ran


def test_request_after_the_body_does_nothing(make_token: MakeToken) -> None:
    token = make_token()
    assert run(token, lambda: 7) == (7, None)
    token.request("cancelled")
    for _ in range(1000):
        pass


def test_interrupt_waits_until_the_sdk_has_done_its_work(make_token: MakeToken) -> None:
    token = make_token()
    steps: list[str] = []

    def body(began: threading.Lock) -> None:
        with token:
            began.release()
            while token.reason is None:
                pass
            for _ in range(10_000):
                pass
            steps.append("done")
        steps.append("too late")

    assert isinstance(interrupted(token, body), Cancelled)
    assert steps == ["done"]


def test_tool_may_clean_up_in_peace_after_the_interrupt(make_token: MakeToken) -> None:
    token = make_token()

    def body(began: threading.Lock) -> str:
        try:
            spin(began)
        except Cancelled:
            with token:
                pass
            token.request("again")
            return "clean"
        return ""

    assert interrupted(token, body) is None


def test_anything_that_a_body_raises_is_caught(make_token: MakeToken) -> None:
    def leave() -> None:
        raise SystemExit(3)

    _, failure = run(make_token(), leave)
    assert isinstance(failure, SystemExit)


def test_interrupt_at_the_moment_of_return_is_the_end_or_nothing(make_token: MakeToken) -> None:
    """Races the request against the body's end, a few thousand times."""
    outcomes = {"value": 0, "interrupted": 0}
    tokens: list[Token | None] = [None]
    turn, asked = threading.Lock(), threading.Lock()
    turn.acquire()

    def ask() -> None:
        while True:
            turn.acquire()
            token = tokens[0]
            if token is None:
                return
            token.request("cancelled")
            asked.release()

    asking = threading.Thread(target=ask)
    asking.start()
    for i in range(4000):
        asked.acquire()
        token = tokens[0] = make_token()

        def body(spins: int = i % 50) -> str:
            turn.release()
            for _ in range(spins):
                pass
            return "value"

        value, failure = run(token, body)
        if failure is None:
            assert value == "value"
            outcomes["value"] += 1
        else:
            assert isinstance(failure, Cancelled)
            outcomes["interrupted"] += 1
    asked.acquire()
    tokens[0] = None
    turn.release()
    asking.join()
    assert sum(outcomes.values()) == 4000
