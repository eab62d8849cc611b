"""Log lines as go-plugin hosts read them: one JSON object a line on standard error."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, cast

from typing_extensions import override

# A host reads lines of up to 64 KiB.
_MAX_LINE: Final = 60_000
_MAX_MESSAGE: Final = 32_000

_LEVELS: Final = (
    (logging.ERROR, "error"),
    (logging.WARNING, "warn"),
    (logging.INFO, "info"),
    (logging.DEBUG, "debug"),
)


class LineHandler(logging.Handler):
    """Writes records as lines of JSON in which every value is a string."""

    def __init__(self, fd: int = 2) -> None:
        """Writes to a descriptor.

        Args:
            fd: standard error, when not given.
        """
        super().__init__()
        self._fd = fd

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = format_line(record)
        except Exception:  # noqa: BLE001  whatever is wrong with a record, the tool goes on
            self.handleError(record)
            return
        # The reader may be gone; then nobody misses the line.
        with contextlib.suppress(OSError):
            while line:
                line = line[os.write(self._fd, line) :]


def format_line(record: logging.LogRecord) -> bytes:
    """Formats a record as a line."""
    message = record.getMessage()
    if record.exc_info:
        message += "\n" + logging.Formatter().formatException(record.exc_info)
    fields = {
        "@level": level_name(record.levelno),
        "@message": message[:_MAX_MESSAGE],
        "@module": record.name[:256],
        "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(
            timespec="microseconds"
        ),
    }
    extra: object = getattr(record, "snakepit", None)
    if isinstance(extra, Mapping):
        for key, value in list(cast("Mapping[object, object]", extra).items())[:8]:
            fields[str(key)[:64]] = str(value)[:256]
    size = _MAX_MESSAGE
    line = json.dumps(fields)  # ASCII, up to 12 bytes a character
    while len(line) > _MAX_LINE:
        size //= 2
        fields["@message"] = message[:size]
        line = json.dumps(fields)
    return line.encode() + b"\n"


def level_name(level: int) -> str:
    """Gives hclog's name of a level."""
    for bound, name in _LEVELS:
        if level >= bound:
            return name
    return "trace"


class _CallLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the call to every record."""


def for_call(tool: str, call: str, session: str) -> logging.LoggerAdapter[logging.Logger]:
    """Makes a logger for one call."""
    fields = {"tool": tool, "call": call, "session": session}
    return _CallLogger(
        logging.getLogger("snakepit.tool"), {"snakepit": {k: v for k, v in fields.items() if v}}
    )


def install() -> None:
    """Sends every log record of this process to standard error as such lines, once."""
    root = logging.getLogger()
    if not any(isinstance(handler, LineHandler) for handler in root.handlers):
        root.addHandler(LineHandler())
    logging.getLogger("snakepit").setLevel(logging.INFO)
