"""What can go wrong before the handshake."""

from __future__ import annotations


class PluginError(Exception):
    """The plugin can't start or can't reach its host; the message says why and what to do."""
