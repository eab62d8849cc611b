"""A plugin: from the cookie to the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import grpc.aio
from typing_extensions import override

from snakepit.goplugin import controller_pb2, controller_pb2_grpc
from snakepit.plugin import _stdout, _tls
from snakepit.plugin._broker import UNLIMITED, Broker, BrokerServicer
from snakepit.plugin._ending import Ending, Reason
from snakepit.plugin._errors import PluginError
from snakepit.plugin._generated import (
    add_broker,
    add_controller,
    add_health,
    add_stdio,
    healthy,
)
from snakepit.plugin._handshake import Handshake, choose_version, handshake_line
from snakepit.plugin._host import HostWatch, abandon_connections
from snakepit.plugin._listen import Address, Sockets
from snakepit.plugin._reflection import NamingServer, Reflection
from snakepit.plugin._stdio import Stdio, StdioServicer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Context = grpc.aio.ServicerContext[controller_pb2.Empty, controller_pb2.Empty]

__all__ = ["Plugin", "Register", "RunningPlugin", "serve"]

Register: TypeAlias = "Callable[[grpc.aio.Server], object]"
"""Adds services to a server that hasn't started."""

# The name under which a go-plugin host asks for health.
_HEALTH = "plugin"

# What the host said to this process, and not to those that it starts: a child that is a go-plugin
# host itself would pass it on, and a host that gets back a certificate it never asked for panics.
_HOSTS_WORD = (
    "PLUGIN_CLIENT_CERT",
    "PLUGIN_MAX_PORT",
    "PLUGIN_MIN_PORT",
    "PLUGIN_MULTIPLEX_GRPC",
    "PLUGIN_PROTOCOL_VERSIONS",
    "PLUGIN_UNIX_SOCKET_DIR",
    "PLUGIN_UNIX_SOCKET_GROUP",
)

# Set by a launcher whose process is our parent, outlives the host, and takes us along when it dies.
_GUARDED = "SNAKEPIT_WORKER_GUARDED"

# How long the reply to Shutdown may take to get out, in seconds.
_REPLY = 0.2


class Plugin:
    """A gRPC plugin for a go-plugin host, before it starts.

    ``broker`` and ``stdio`` are there from the beginning, so that services can be given them;
    they work once the plugin runs.
    """

    def __init__(
        self,
        handshake: Handshake,
        versions: Mapping[int, Register],
        *,
        tls: bool | None = None,
        tcp: bool = False,
        threads: int = 16,
        grace: float | None = None,
        options: Sequence[tuple[str, object]] = (),
        not_by_hand: str | None = None,
    ) -> None:
        """Describes the plugin; starts nothing.

        Args:
            handshake: the cookie that the host sets.
            versions: for each protocol version that is served, what adds its services. It's
                called on the plugin's event loop.
            tls: True insists on TLS, False refuses it; None uses it when the host asks for it by
                PLUGIN_CLIENT_CERT. Needs the package cryptography.
            tcp: listen on 127.0.0.1 instead of on a Unix socket. Any user of the machine can
                connect to that: use TLS with it.
            threads: how many calls to services with plain ``def`` methods run at once. Methods
                that are ``async def`` run on the event loop and must not block it.
            grace: how many seconds to wait for another connection once the host is gone; None
                for the environment's SNAKEPIT_WORKER_GRACE, or 0.
            options: further gRPC server options. Message sizes aren't limited.
            not_by_hand: what to say to whoever starts the plugin without the cookie.

        Raises:
            ValueError: no version is given.
        """
        if not versions:
            raise ValueError("a plugin needs at least one protocol version")
        self.handshake = handshake
        self.versions = dict(versions)
        self.tls = tls
        self.threads = threads
        self.grace = grace
        self.options = tuple(options)
        self.not_by_hand = not_by_hand
        self.sockets = Sockets(tcp=tcp)
        self.broker = Broker(self.sockets)
        """Opens further connections between host and plugin."""
        self.stdio = Stdio()
        """Output that goes to the host over gRPC."""
        self.callbacks: list[Callable[[], object]] = []

    def on_shutdown(self, callback: Callable[[], object]) -> None:
        """Has a callback run when the plugin ends; see RunningPlugin.on_shutdown."""
        self.callbacks.append(callback)

    def start(self) -> RunningPlugin:
        """Serves on a thread of its own, and returns once the host has been told where.

        Standard output is claimed (see claim_stdout), SIGINT ignored, and SIGTERM ends the plugin
        in order; the signals only when called on the main thread. The host's PLUGIN_ variables
        leave the environment. Start a plugin once.

        Raises:
            SystemExit: the cookie is missing; standard error has been told.
            PluginError: it can't be served; the message says why.
        """
        self.handshake.check(self.not_by_hand)
        _stdout.claim_stdout()
        version = choose_version(os.environ.get("PLUGIN_PROTOCOL_VERSIONS", ""), self.versions)
        running = RunningPlugin(self, version)
        try:
            running.begin()
        except BaseException:
            self.sockets.remove()
            raise
        for name in (*_HOSTS_WORD, _GUARDED):
            os.environ.pop(name, None)
        return running


class RunningPlugin:
    """A plugin that serves.

    It ends, and the process with it, when the host says Shutdown, by SIGTERM, when the host is
    gone, or by stop. In each case the callbacks of on_shutdown run, then the process exits with
    status 0 by ``os._exit``, at most 1.5 seconds later whatever other threads do. Functions
    registered with atexit don't run.

    With SNAKEPIT_WORKER_GUARDED=1 in the environment the parent answers for the plugin: it waits
    for further hosts as long as the parent lives, and ends at once, without callbacks, when that
    dies.
    """

    def __init__(self, plugin: Plugin, version: int) -> None:
        """Made by Plugin.start."""
        self.version = version
        """The protocol version that host and plugin agreed on."""
        self.broker = plugin.broker
        """Opens further connections between host and plugin."""
        self.stdio = plugin.stdio
        """Output that goes to the host over gRPC."""
        self.loop = asyncio.new_event_loop()
        """The event loop that serves."""
        self._plugin = plugin
        self._identity = _tls.identity(plugin.tls)
        guarded = os.environ.get(_GUARDED) == "1"
        self._watch = HostWatch(_grace(plugin.grace), guarded=guarded)
        self._ending = Ending(
            self._watch, plugin.callbacks, self._stop_server, plugin.sockets.remove
        )
        # Set by begin.
        self._address: Address | None = None
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """Where the plugin listens: a socket's path, or host:port."""
        return self._address.address if self._address else ""

    def on_shutdown(self, callback: Callable[[], object]) -> None:
        """Has a callback run once when the plugin ends, on a thread of its own.

        Callbacks run in the order they were added and share 1.1 seconds.
        """
        self._plugin.callbacks.append(callback)

    def wait(self) -> None:
        """Blocks until the process ends; it never returns."""
        while True:
            threading.Event().wait()

    def stop(self, grace: float = 0.0) -> None:
        """Ends the plugin and the process, as Shutdown does; returns at once.

        Args:
            grace: how many seconds running calls may go on.
        """
        self._ending.request(Reason.STOPPED, grace)

    def begin(self) -> None:
        """Does the work of Plugin.start."""
        address: Future[Address] = Future()
        threading.Thread(target=self._run, args=(address,), name="plugin-grpc", daemon=True).start()
        self._address = address.result()
        self._watch.listen_on(self._address)
        self._ending.start()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._abandon_in_child)
        field = self._identity.field() if self._identity else ""
        line = handshake_line(self.version, self._address.network, self._address.address, field)
        try:
            _stdout.announce(line)
        except OSError as error:
            msg = f"can't write the handshake line: {error}"
            raise PluginError(msg) from error

    def _run(self, address: Future[Address]) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            address.set_result(self.loop.run_until_complete(self._listen()))
        except BaseException as error:  # noqa: BLE001  start raises it
            address.set_exception(error)
            return
        self.loop.run_forever()

    async def _listen(self) -> Address:
        plugin = self._plugin
        pool = ThreadPoolExecutor(plugin.threads, thread_name_prefix="plugin-call")
        server = NamingServer(
            grpc.aio.server(migration_thread_pool=pool, options=[*UNLIMITED, *plugin.options])
        )
        await self._add_own_services(server)
        plugin.versions[self.version](server)
        credentials = self._identity.server_credentials() if self._identity else None
        address = plugin.sockets.bind(server, credentials)
        await server.start()
        plugin.sockets.open_up(address)
        self._server = server
        return address

    async def _add_own_services(self, server: NamingServer) -> None:
        self.broker.bind(self.loop, self._identity)
        self.stdio.bind(self.loop)
        add_health(await healthy(_HEALTH), server)
        add_broker(BrokerServicer(self.broker, self._stream_changed), server)
        add_stdio(StdioServicer(self.stdio), server)
        add_controller(_Controller(self.stdio, self._on_shutdown_call), server)
        server.add_generic_rpc_handlers([Reflection(server.names)])

    def _stream_changed(self, by: int) -> None:
        self._watch.streams += by
        self._ending.ring()

    def _on_shutdown_call(self) -> None:
        self._ending.request(Reason.SHUTDOWN)

    def _stop_server(self, grace: float) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(grace), self.loop).result()

    async def _stop(self, grace: float) -> None:
        # The host holds these two streams open: they'd use up the grace.
        self.stdio.close()
        await self.broker.close()
        if self._server is not None:
            await self._server.stop(grace or None)

    def _abandon_in_child(self) -> None:
        with contextlib.suppress(OSError):
            abandon_connections(self._plugin.sockets.addresses)


class _Controller(controller_pb2_grpc.GRPCControllerServicer):
    """GRPCController: acknowledges Shutdown, then ends the plugin."""

    def __init__(self, stdio: Stdio, shutdown: Callable[[], None]) -> None:
        self._stdio = stdio
        self._shutdown = shutdown

    @override
    async def Shutdown(
        self, request: controller_pb2.Empty, context: Context
    ) -> controller_pb2.Empty:
        # The host reads nothing after the reply.
        await self._stdio.drain(_REPLY)
        done: Any = self._done  # the stubs take no plain function
        context.add_done_callback(done)
        asyncio.get_running_loop().call_later(_REPLY, self._shutdown)
        return controller_pb2.Empty()

    def _done(self, _context: object) -> None:
        self._shutdown()


def serve(
    handshake: Handshake,
    versions: Mapping[int, Register],
    *,
    tls: bool | None = None,
    tcp: bool = False,
) -> None:
    """Serves until the process ends; for plugins that need no more than their services.

    Args:
        handshake: the cookie that the host sets.
        versions: for each protocol version that is served, what adds its services.
        tls: as in Plugin.
        tcp: as in Plugin.

    Raises:
        SystemExit: it can't be served; standard error has been told.
    """
    try:
        running = Plugin(handshake, versions, tls=tls, tcp=tcp).start()
    except PluginError as error:
        sys.stderr.write(f"plugin: {error}\n")
        raise SystemExit(1) from error
    running.wait()


def _grace(given: float | None) -> float:
    if given is not None:
        return given
    text = os.environ.get("SNAKEPIT_WORKER_GRACE", "")
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds >= 0:
        return seconds
    sys.stderr.write(f"plugin: SNAKEPIT_WORKER_GRACE is no number of seconds: {text[:32]!r}\n")
    return 0.0
