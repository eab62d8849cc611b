"""A plugin for test_plugin.py, which starts it as a process. Its argument says how it behaves."""

# ruff: noqa: E402, T201  it prints, and claims stdout before it imports

from __future__ import annotations

import sys

from snakepit.plugin import claim_stdout

if sys.argv[1:] == ["noise"]:
    print("printed early")
claim_stdout()

import asyncio
import contextlib
import multiprocessing
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio

from snakepit.plugin import Handshake, Plugin, RunningPlugin, serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Event

HANDSHAKE = Handshake("TEST_PLUGIN", "yes")
MODE = sys.argv[1] if len(sys.argv) > 1 else "plain"


def say(text: str) -> None:
    """Tells the test something, on standard error."""
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode())


def spin() -> NoReturn:
    say("spinning")
    while True:
        pass


class Echo:
    """A service of bytes, with no generated code."""

    def __init__(self) -> None:
        self.plugin: Plugin | None = None

    async def echo(self, request: bytes, _context: object) -> bytes:
        return request

    async def slow(self, request: bytes, _context: object) -> bytes:
        say("slow has begun")
        await asyncio.sleep(0.3)
        return request

    def thread(self, _request: bytes, _context: object) -> bytes:
        return threading.current_thread().name.encode()

    async def pid(self, _request: bytes, _context: object) -> bytes:
        return f"{os.getpid()} {os.getppid()}".encode()

    async def told(self, _request: bytes, _context: object) -> bytes:
        host = ("PLUGIN_", "SNAKEPIT_")
        code = f"import os; print(*(name for name in os.environ if name.startswith({host})))"
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=-1)
        return (await child.communicate())[0]

    async def serve(self, _request: bytes, _context: object) -> bytes:
        assert self.plugin is not None
        number = self.plugin.broker.next_id()
        await self.plugin.broker.accept(number, self.register)
        return str(number).encode()

    async def grow(self, _request: bytes, _context: object) -> bytes:
        context = multiprocessing.get_context("fork")
        begun = context.Event()
        child = context.Process(target=wait, args=(begun,), daemon=True)
        child.start()
        begun.wait()
        return str(child.pid).encode()

    async def end(self, request: bytes, _context: object) -> bytes:
        assert self.plugin is not None
        await self.plugin.broker.end(int(request))
        return b""

    async def dial(self, request: bytes, _context: object) -> bytes:
        assert self.plugin is not None
        async with await self.plugin.broker.dial(int(request)) as channel:
            unary: Any = channel.unary_unary
            loop_answer: bytes = await unary("/test.Host/Hello")(b"from the loop")
            return loop_answer

    def dial_thread(self, request: bytes, _context: object) -> bytes:
        assert self.plugin is not None
        with self.plugin.broker.dial_sync(int(request)) as channel:
            unary: Any = channel.unary_unary
            thread_answer: bytes = unary("/test.Host/Hello")(b"from a thread")
            return thread_answer

    async def output(self, request: bytes, _context: object) -> bytes:
        assert self.plugin is not None
        self.plugin.stdio.stdout.write(request)
        self.plugin.stdio.stderr.write(request.upper())
        return b""

    def register(self, server: grpc.aio.Server) -> None:
        methods: list[Callable[..., Any]] = [
            self.echo, self.slow, self.told, self.thread, self.pid, self.serve, self.end, self.dial,
            self.dial_thread, self.output, self.grow,
        ]  # fmt: skip
        handlers: dict[str, Any] = {
            m.__name__: grpc.unary_unary_rpc_method_handler(m) for m in methods
        }
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("test.Echo", handlers)]
        )


def start(**options: Any) -> RunningPlugin:
    echo = Echo()
    plugin = Plugin(HANDSHAKE, {1: echo.register, 3: echo.register}, **options)
    echo.plugin = plugin
    plugin.on_shutdown(lambda: say("first callback"))
    if MODE == "stuck":
        plugin.on_shutdown(spin)
    if MODE == "raising":
        plugin.on_shutdown(lambda: sys.exit("a callback's message"))
    running = plugin.start()
    running.on_shutdown(lambda: say("second callback"))
    return running


def wait(begun: Event | None = None) -> NoReturn:
    if begun is not None:
        begun.set()
    while True:
        threading.Event().wait()


def forked(running: RunningPlugin) -> None:
    """Forks children as multiprocessing does, and terminates one."""
    context = multiprocessing.get_context("fork")
    child = context.Process(target=wait)
    child.start()
    child.terminate()
    child.join()
    begun = context.Event()
    context.Process(target=wait, args=(begun,), daemon=True).start()
    begun.wait()  # else it may not have let go of our connections yet
    say(f"child ended with {child.exitcode}")
    running.wait()


def main() -> None:
    if MODE == "noise":
        print("printed before the start")
        os.write(1, b"written to descriptor 1\n")
        running = start()
        print("printed after the start, no newline", end="")
        running.wait()
    elif MODE == "spin":
        start()
        spin()
    elif MODE == "fork":
        forked(start())
    elif MODE == "group":
        start()
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        say(f"grandchild {child.pid}")
        wait()
    elif MODE == "stop":
        running = start()
        running.stop()
        running.wait()
    elif MODE == "broken":
        Plugin(HANDSHAKE, {1: lambda _: 1 / 0}).start()
    elif MODE == "told":
        Plugin(HANDSHAKE, {1: Echo().register}, not_by_hand="use the other program").start()
    elif MODE == "no-library":
        sys.modules["cryptography"] = None  # type: ignore[assignment]
        serve(HANDSHAKE, {1: Echo().register})
    elif MODE in {"tls", "tcp", "no-tls"}:
        serve(
            HANDSHAKE,
            {1: Echo().register},
            tls={"tls": True, "no-tls": False}.get(MODE),
            tcp=MODE == "tcp",
        )
    elif MODE == "serve":
        serve(HANDSHAKE, {2: Echo().register})
    else:
        # A test run in the background starts with SIGINT ignored already, which would show nothing.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        start().wait()


main()
