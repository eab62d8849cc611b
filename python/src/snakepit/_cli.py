"""What people ask of ``python -m snakepit``; hosts only name an adapter."""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys

from snakepit import _adapter, _wire
from snakepit._tool import DefinitionError
from snakepit._version import __version__


def run(arguments: list[str]) -> int:
    """Runs the command line and gives its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m snakepit",
        description="Serves an adapter's tools to a snakepit host, which starts this by itself.",
    )
    parser.add_argument("target", help="FILE.py, FILE.py:Class, MODULE or MODULE:Class")
    parser.add_argument(
        "--describe", action="store_true", help="print the adapter's tools as JSON, and end"
    )
    version = f"snakepit-sdk {__version__}, Python {platform.python_version()}"
    parser.add_argument("--version", action="version", version=version)
    given = parser.parse_args(arguments)
    if given.describe:
        return _describe(given.target)
    parser.error("name the adapter and nothing else")
    return 2


def _describe(target: str) -> int:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the adapter prints isn't JSON
            toolbox = _adapter.load(target)
    except DefinitionError as e:
        sys.stderr.write(f"snakepit: {e}\n")
        return 1
    except BaseException as e:  # noqa: BLE001  sys.exit in an adapter too
        sys.stderr.write(_wire.describe(e).traceback)
        return 1
    tools = [
        {
            "name": t.name,
            "description": t.description,
            "input_schema": json.loads(t.signature.input_schema),
            "output_schema": json.loads(t.signature.output_schema or "null"),
            "stream": t.signature.stream,
            "input_stream": t.signature.input,
            "idempotent": t.idempotent,
            "cancel": t.cancel,
        }
        for t in toolbox.tools.values()
    ]
    described = {"adapter": toolbox.name, "slots": toolbox.slots, "tools": tools}
    sys.stdout.write(json.dumps(described, indent=2) + "\n")
    return 0
