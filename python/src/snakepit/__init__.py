"""Write tools in Python; a snakepit host runs them.

::

    from collections.abc import Iterator

    from snakepit import Adapter, Context, tool


    class Digits(Adapter):
        def setup(self) -> None:  # once a worker
            self.model = load()

        @tool
        def predict(self, ctx: Context, pixels: list[float], top: int = 3) -> list[Guess]: ...

        @tool
        def train(self, ctx: Context, epochs: int) -> Iterator[Progress]: ...

``snakepit.testing.Harness`` calls tools without a host, ``python -m snakepit FILE.py`` serves them
to one. ``snakepit.errors`` is what a call can fail with; ``snakepit.plugin`` serves any gRPC
service to any go-plugin host.
"""

from snakepit import errors
from snakepit._adapter import Adapter
from snakepit._context import Context, Host, HostTool, Input, current
from snakepit._session import Session, State
from snakepit._tool import DefinitionError, tool
from snakepit._values import Marker
from snakepit._version import __version__
from snakepit.errors import Cancelled

__all__ = [
    "Adapter",
    "Cancelled",
    "Context",
    "DefinitionError",
    "Host",
    "HostTool",
    "Input",
    "Marker",
    "Session",
    "State",
    "__version__",
    "current",
    "errors",
    "tool",
]
