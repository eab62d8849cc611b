"""A go-plugin server for Python: serve any gRPC service to any go-plugin host.

A plugin in ten lines::

    from snakepit.plugin import Handshake, claim_stdout, serve

    claim_stdout()  # before anything else can print

    from kv import register  # register(server) adds the gRPC services

    serve(Handshake("KV_PLUGIN", "hello"), {1: register})

What a host asks of a plugin is all there: the magic cookie, the choice of a protocol version, the
handshake line, health, orderly shutdown, forwarded output, brokered connections both ways, server
reflection and mutual TLS. The plugin ends by itself when its host is gone.

Importing this package is cheap: gRPC is imported when the first name that needs it is used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from snakepit.plugin._stdout import claim_stdout

# gRPC reads it when it's imported. With its own handlers for fork one in five children that were
# forked during a call crashed; they never use our server, and need none.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

if TYPE_CHECKING:
    from snakepit.plugin._broker import Broker
    from snakepit.plugin._errors import PluginError
    from snakepit.plugin._handshake import Handshake
    from snakepit.plugin._plugin import Plugin, Register, RunningPlugin, serve
    from snakepit.plugin._stdio import Stdio

__all__ = [
    "Broker",
    "Handshake",
    "Plugin",
    "PluginError",
    "Register",
    "RunningPlugin",
    "Stdio",
    "claim_stdout",
    "serve",
]

_HOMES = {
    "Broker": "_broker",
    "Handshake": "_handshake",
    "Plugin": "_plugin",
    "PluginError": "_errors",
    "Register": "_plugin",
    "RunningPlugin": "_plugin",
    "Stdio": "_stdio",
    "serve": "_plugin",
}


def __getattr__(name: str) -> Any:
    """Imports a public name from its module at its first use."""
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
