from __future__ import annotations

import json
import logging
import os
from datetime import datetime

import pytest

from snakepit import _log


def record(
    message: str, level: int = logging.INFO, extra: dict[str, object] | None = None
) -> logging.LogRecord:
    made = logging.LogRecord("snakepit.tool", level, "f.py", 1, message, None, None)
    made.snakepit = extra
    return made


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (logging.CRITICAL, "error"),
        (logging.ERROR, "error"),
        (logging.WARNING, "warn"),
        (logging.INFO, "info"),
        (logging.DEBUG, "debug"),
        (1, "trace"),
    ],
)
def test_levels_are_hclogs(level: int, name: str) -> None:
    assert json.loads(_log.format_line(record("x", level)))["@level"] == name


def test_line_holds_nothing_but_strings() -> None:
    fields = json.loads(_log.format_line(record("hello", extra={"call": 7, "tool": None})))
    assert all(isinstance(v, str) for v in fields.values())
    assert fields["@message"] == "hello"
    assert fields["@module"] == "snakepit.tool"
    assert (fields["call"], fields["tool"]) == ("7", "None")
    assert datetime.fromisoformat(fields["@timestamp"]).utcoffset() is not None
    assert len(fields["@timestamp"]) == len("2026-11-24T01:54:49.293132+00:00")


@pytest.mark.parametrize("text", ["x" * 200_000, "\U0001f600" * 100_000, "\n" * 100_000])
def test_line_stays_below_what_a_host_reads(text: str) -> None:
    line = _log.format_line(record(text, extra={f"k{i}": text for i in range(50)}))
    assert len(line) < 64 << 10
    assert line.count(b"\n") == 1
    json.loads(line)


def test_exception_is_part_of_the_message() -> None:
    e = ValueError("inner")
    made = logging.LogRecord("m", logging.ERROR, "f", 1, "outer", None, (type(e), e, None))
    assert "ValueError: inner" in json.loads(_log.format_line(made))["@message"]


def test_reader_that_is_gone_bothers_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    _log.LineHandler(writing).emit(record("x"))
    os.close(writing)


def test_call_logger_adds_the_call() -> None:
    reading, writing = os.pipe()
    handler = _log.LineHandler(writing)
    logger = logging.getLogger("snakepit.tool")
    logger.addHandler(handler)
    try:
        _log.for_call("predict", "c-1", "").warning("slow: %d", 3)
    finally:
        logger.removeHandler(handler)
    os.close(writing)
    with os.fdopen(reading) as lines:
        fields = json.loads(lines.read())
    assert fields["@message"] == "slow: 3"
    assert (fields["tool"], fields["call"]) == ("predict", "c-1")
    assert "session" not in fields
