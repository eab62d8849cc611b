"""``python -m snakepit TARGET``: serves an adapter as a plugin."""

from __future__ import annotations

import os
import sys

from snakepit.plugin import claim_stdout


def main() -> None:
    """Runs the command line."""
    arguments = sys.argv[1:]
    if len(arguments) == 1 and not arguments[0].startswith("-"):
        claim_stdout()  # before anything that might print is imported

        if os.environ.get("SNAKEPIT_WORKER_FORKSERVER"):
            from snakepit import _forkserver  # noqa: PLC0415

            _forkserver.serve(arguments[0])

        from snakepit import _worker  # noqa: PLC0415

        _worker.serve(arguments[0])

    from snakepit import _cli  # noqa: PLC0415

    raise SystemExit(_cli.run(arguments))


if __name__ == "__main__":
    main()
