"""The key-value plugin, behaving badly on request; for the tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

ODD = os.environ.get("KV_ODD", "")

if ODD == "noise":
    print("printed before anything was imported")

sys.path.insert(0, str(Path(__file__).parents[1]))

import kv_server


def spin() -> None:
    """Never ends, and never waits."""
    with contextlib.suppress(OSError):  # its host may be dead
        sys.stderr.write("spinning\n")
        sys.stderr.flush()
    while True:
        pass


class Busy(kv_server.KV):
    """Deleting takes for ever: on the event loop, where nobody should do such a thing."""

    async def Delete(self, request, context):
        spin()


class BusyThread(kv_server.KV):
    """Deleting takes for ever: on a thread, since the method isn't async."""

    def Delete(self, request, context):
        spin()


class Noisy(kv_server.KV):
    """Every Get prints, in each way there is."""

    async def Get(self, request, context):
        print("printed by a call", "x" * 100_000)
        os.write(1, b"written to descriptor 1\n")
        subprocess.run(["echo", "printed by a child"], check=True)
        return await super().Get(request, context)


if ODD == "noise":
    print("printed before the plugin started", "x" * 100_000)

kind = {"loop": Busy, "thread": BusyThread, "noise": Noisy}.get(ODD, kv_server.KV)
plugin = kv_server.plugin_for(kind({}))
if ODD == "stuck":
    plugin.on_shutdown(spin)
running = plugin.start()
if ODD == "stdio":
    running.stdio.stdout.write(b"to the host's stdout\n")
    running.stdio.stderr.write(b"to the host's stderr\n")
    running.stdio.redirect()
    print("printed after redirect")
if ODD == "main":
    spin()
running.wait()
