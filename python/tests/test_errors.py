from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from snakepit import _wire, errors
from snakepit.v1 import error_pb2

GOLDEN = Path(__file__).parents[2] / "proto" / "errdefs" / "testdata" / "reasons.txt"


def golden_rows() -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for line in GOLDEN.read_text().splitlines():
        if line and not line.startswith("#"):
            reason, kind, code = line.split()
            rows.append((reason, kind, code))
    return rows


def test_reasons_are_those_of_both_languages() -> None:
    ours = [(r, kind.class_name, code) for r, (kind, code) in errors.REASONS.items()]
    assert ours == golden_rows()


def test_each_class_has_a_default_reason_of_its_own_class() -> None:
    for name, kind in errors.CLASSES.items():
        assert errors.REASONS[kind.reason][0].class_name == name


def test_docstring_draws_every_class() -> None:
    drawn = set(re.findall(r"^ *[├│└─ ]*([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE))
    for name in errors.__all__:
        value = getattr(errors, name)
        if issubclass(value, BaseException):
            assert name in drawn


def test_error_survives_the_wire_whole() -> None:
    e = errors.UnavailableError(
        "gone",
        reason="worker_crashed",
        path="$.x",
        hint="try again",
        may_have_run=True,
        where=errors.Where("n", "p", "w", "s", "t", "c"),
        exception=errors.RemoteException("KeyError", ("LookupError",), "'a'", "tb", ("note",)),
        exit=errors.Exit(-1, "SIGSEGV", ("last", "words")),
        retry_after=1.5,
    )
    back = _wire.from_proto(_wire.to_proto(e))
    assert type(back) is errors.UnavailableError
    assert vars(back) == vars(e)
    assert str(back) == "worker_crashed: gone; it may have run; try again"


def test_known_reason_decides_the_class_whatever_came_along() -> None:
    p = error_pb2.Error(reason="tool_not_found")
    setattr(p, "class", "internal")
    assert type(_wire.from_proto(p)) is errors.ToolNotFoundError


def test_unknown_reason_keeps_its_name_and_the_class_it_came_with() -> None:
    p = error_pb2.Error(reason="quantum_flux")
    setattr(p, "class", "exhausted")
    e = _wire.from_proto(p)
    assert type(e) is errors.ExhaustedError
    assert e.reason == "quantum_flux"
    setattr(p, "class", "unheard_of")
    assert type(_wire.from_proto(p)) is errors.InternalError


def test_exception_is_described_with_its_classes_notes_and_cause() -> None:
    class OddError(KeyError):
        pass

    raised = OddError("key")
    raised.add_note("first")
    raised.__cause__ = ZeroDivisionError("by nought")
    described = _wire.describe(raised)
    assert described.type.endswith("OddError")
    assert described.type.startswith("test_errors.")
    assert described.bases == ("KeyError", "LookupError", "Exception", "BaseException")
    assert described.notes == ("first",)
    assert "ZeroDivisionError" in described.traceback
    assert "direct cause" in described.traceback


def test_exception_that_cannot_be_shown_is_described_all_the_same() -> None:
    class MuteError(Exception):
        @override
        def __str__(self) -> str:
            raise RuntimeError

    assert _wire.describe(MuteError()).message == "<str() failed>"


def test_texts_and_lists_are_cut_as_the_wire_says() -> None:
    raised = ValueError("ä" * 20_000)
    for i in range(50):
        raised.add_note(f"note {i}")
    e = _wire.as_error(raised)
    p = _wire.to_proto(e)
    x: Any = p.exception
    assert len(x.message.encode()) <= 16 << 10
    assert len(x.traceback.encode()) <= 16 << 10
    assert len(x.notes) == 32
    assert p.ByteSize() < 128 << 10


def test_text_that_is_no_utf8_is_escaped() -> None:
    x: Any = _wire.to_proto(_wire.as_error(ValueError("\ud800"))).exception
    assert x.message == "\\ud800"


@pytest.mark.parametrize(
    ("e", "code"),
    [
        (errors.ToolNotFoundError("x"), "NOT_FOUND"),
        (errors.UnavailableError("x", may_have_run=True), "ABORTED"),
        (errors.ExhaustedError("x", reason="quantum_flux"), "RESOURCE_EXHAUSTED"),
    ],
)
def test_status_code_follows_the_reason_and_whether_it_may_have_run(
    e: errors.Error, code: str
) -> None:
    assert _wire.status_code(e) == code


def test_status_detail_is_a_google_rpc_status_that_fits_a_header() -> None:
    raised = ValueError("x" * 10_000)
    for i in range(40):
        raised.add_note(f"{i} " * 1000)
    detail = _wire.status_detail(_wire.as_error(raised), 2, "python_exception: …")
    assert len(detail) < 6 << 10
    assert detail[:2] == b"\x08\x02"
    assert b"type.googleapis.com/snakepit.v1.Error" in detail


def test_error_of_a_tool_says_that_the_call_may_have_run_where_it_sounds_otherwise() -> None:
    assert _wire.as_error(errors.UnavailableError("x")).may_have_run
    assert not _wire.as_error(errors.InvalidArgumentsError("x")).may_have_run


def test_tool_failure_tells_of_which_class_it_was() -> None:
    failed = _wire.as_error(FileNotFoundError("x"))
    assert isinstance(failed, errors.ToolFailedError)
    assert failed.raised(OSError)
    assert failed.raised("FileNotFoundError")
    assert not failed.raised(ValueError)
