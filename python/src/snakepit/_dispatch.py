"""Runs calls: at most as many at once as the worker has slots, each where its tool belongs."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
import time
import traceback
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from snakepit import _context, _interrupt, _schema, errors
from snakepit._call import Call, Encoded, Link, Request, stopped
from snakepit._fences import Fences
from snakepit._tool import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from snakepit._adapter import Toolbox
    from snakepit._interrupt import Token

# Calls that wait for a slot: as many as a lane may have open.
MAX_WAITING: Final = 1024

# How often a tool that doesn't stop is interrupted again, in seconds.
_REMIND: Final = 0.005


class Runner(Protocol):
    """A place where tools run."""

    def start(self, call: Call) -> None:
        """Has the call run; returns without waiting for it."""
        ...

    def close(self) -> None:
        """Ends its threads; nothing runs any more."""
        ...


class Dispatcher:
    """Takes calls from every way in, and sees each to its end."""

    def __init__(self, toolbox: Toolbox, runner: Runner, *, strict: bool = False) -> None:
        """Takes calls from now on.

        Args:
            toolbox: the tools.
            runner: where ``def`` tools run.
            strict: results that can't be encoded are errors.
        """
        self.toolbox = toolbox
        self.strict = strict
        self.on_change: Callable[[], None] = lambda: None
        """Called when whoever calls expire must do so earlier than it was told."""
        self._runner = runner
        self._loop_runner = LoopRunner(self)
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._running: set[Call] = set()
        self._waiting: deque[Call] = deque()
        self._fences = Fences()
        self._draining = False
        self._stopping = False
        self._idle: list[Callable[[], None]] = []

    def open(self, request: Request, link: Link) -> Call | None:
        """Takes a call, whose end goes to the link whatever happens.

        Returns:
            The call, to be stopped or notified; None when it has ended already.
        """
        tool = self.toolbox.tools.get(request.tool) or self.toolbox.hooks.get(request.tool)
        if tool is None:
            link.end(b"", self._unknown(request))
            return None
        if (odd := _oddity(request)) is not None:
            link.end(b"", odd)
            return None
        if request.epoch and (late := self._see(request)) is not None:
            link.end(b"", late)
            return None
        call = Call(request, tool, link, strict=self.strict)
        link.call = call
        refusal = self._admit(call)
        if refusal is not None:
            call.ended = True
            link.end(b"", refusal)
            return None
        self.on_change()
        return call

    def stop(self, call: Call, reason: str) -> None:
        """Asks a call to stop. One that hasn't begun ends at once."""
        with self._lock:
            waiting = call in self._waiting
            if waiting:
                self._waiting.remove(call)
        call.stop(reason)
        if waiting:
            self._refuse_stopped(call)
        else:
            self.on_change()

    def stop_all(self, reason: str) -> None:
        """Asks every call to stop, and takes no new ones."""
        with self._lock:
            self._draining = self._stopping = True
            calls = [*self._waiting, *self._running]
        for call in calls:
            self.stop(call, reason)

    def drain(self, when_idle: Callable[[], None]) -> None:
        """Takes no new calls, and says when the last one has ended; from any thread."""
        with self._lock:
            self._draining = True
            busy = bool(self._running or self._waiting)
            if busy:
                self._idle.append(when_idle)
        if not busy:
            when_idle()

    def reopen(self) -> None:
        """Takes calls again after a drain that nobody waits for any more; never after stop_all."""
        with self._lock:
            if not self._stopping:
                self._draining = False
                self._idle.clear()

    def close(self) -> None:
        """Takes no new calls, and ends its threads with the last one."""
        self.drain(self._close_runners)

    def _close_runners(self) -> None:
        self._loop_runner.close()
        self._runner.close()

    def expire(self, now: float) -> float | None:
        """Stops the calls whose time is over, and reminds those that were to stop before.

        Returns:
            The seconds until it should be called again; None when there's no need.
        """
        left: float | None = None
        with self._lock:
            calls = [*self._running, *self._waiting]
        for call in calls:
            pause = self._look_after(call, now)
            if pause is not None and (left is None or pause < left):
                left = pause
        return left

    def _look_after(self, call: Call, now: float) -> float | None:
        deadline, token = call.request.deadline, call.token
        if call.reason is None and deadline is not None:
            if now < deadline:
                return deadline - now
            self.stop(call, "deadline")
        if call.reason is not None and token is not None and token.remind():
            return _REMIND
        return None

    def busy_for(self, now: float) -> float:
        """Says for how many seconds the oldest running call has been running; 0 when idle."""
        with self._lock:
            starts = [c.started for c in self._running if c.started and not c.ended]
        return now - min(starts) if starts else 0.0

    def _see(self, request: Request) -> errors.Error | None:
        """Takes in a call's epoch; gives an error when its session has had a higher one."""
        with self._lock:
            highest = self._fences.see(request.session, request.epoch)
        return _late(request, highest)

    def outdated(self, call: Call) -> errors.Error | None:
        """Tells, before a call begins, whether its session has got a newer owner meanwhile."""
        if not call.request.epoch:
            return None
        with self._lock:
            highest = self._fences.highest(call.request.session)
        return _late(call.request, highest)

    def _unknown(self, request: Request) -> errors.Error:
        name = request.tool
        where = errors.Where(tool=name[:64], call=request.id)
        if not NAME.fullmatch(name):
            shown = name if len(name) <= 64 else f"{name[:61]}…"
            text = f"{shown!r} can't be a tool's name: 1 to 64 letters, digits, '_', '.' or '-'"
            return errors.InvalidToolNameError(text, where=where)
        hint = _schema.suggest(name, self.toolbox.tools)
        text = f"{self.toolbox.name} has no tool {name!r}"
        return errors.ToolNotFoundError(text, hint=hint, where=where)

    def _admit(self, call: Call) -> errors.Error | None:
        with self._lock:
            if self._draining:
                return errors.make("draining", "the worker takes no new calls")
            if len(self._running) >= self.toolbox.slots:
                if len(self._waiting) >= MAX_WAITING:
                    return errors.make("queue_full", f"{MAX_WAITING} calls are waiting already")
                self._waiting.append(call)
                return None
            self._running.add(call)
        self._start(call)
        return None

    def _start(self, call: Call) -> None:
        runner = self._loop_runner if call.tool.signature.is_async else self._runner
        runner.start(call)

    def _refuse_stopped(self, call: Call) -> None:
        call.ended = True
        reason = call.reason or "cancelled"
        call.link.end(b"", stopped(reason, call.tool.name, call.request.id, ran=False))
        self._look_idle()

    def finish(self, call: Call, value: Any, failure: BaseException | None) -> None:
        """Ends a call that ran, and starts the next one; called by runners."""
        try:
            call.end(value, failure)
        finally:
            with self._lock:
                self._running.discard(call)
                following = self._waiting.popleft() if self._waiting else None
                if following is not None:
                    self._running.add(following)
            if following is not None:
                self._start(following)
            else:
                self._look_idle()

    def _look_idle(self) -> None:
        if not self._draining:
            return
        with self._lock:
            if self._running or self._waiting:
                return
            told, self._idle = self._idle, []
        for tell in told:
            tell()

    # Running a `def` tool, in the thread that calls this.

    def run(self, call: Call, token: Token) -> None:
        """Runs a call's tool in this thread, to its end."""
        if call.link.over:
            call.stop("cancelled")
        if call.reason is not None:
            self.finish(call, None, errors.Cancelled(call.reason))
            return
        if (late := self.outdated(call)) is not None:
            self.finish(call, None, late)
            return
        call.started = time.monotonic()
        try:
            positional, named = call.arguments()
        except BaseException as e:  # noqa: BLE001  a hint's own code may raise anything
            call.started = 0.0  # it never ran
            self.finish(call, None, e)
            return
        context = call.context()
        if call.tool.signature.context:
            named[call.tool.signature.context] = context
        call.token = token
        if call.tool.cancel == "interrupt":
            call.interrupt = token.request
            if call.reason is not None:
                token.request(call.reason)
        before = _context.running.set(context)
        value, failure = _interrupt.run(token, lambda: _run_tool(call, positional, named))
        _context.running.reset(before)
        self.finish(call, value, failure)


def _late(request: Request, highest: int) -> errors.Error | None:
    if request.epoch >= highest:
        return None
    where = errors.Where(tool=request.tool, session=request.session, call=request.id)
    text = f"the session has had epoch {highest} here, and this call has {request.epoch}"
    return errors.FencedError(text, hint="its owner is another host by now", where=where)


def _oddity(request: Request) -> errors.Error | None:
    if not request.metadata and len(request.id) < 64 and len(request.session) < 64:
        return None  # as nearly always
    try:
        request.check()
    except errors.InvalidArgumentsError as e:
        return e
    return None


def _run_tool(call: Call, positional: list[Any], named: dict[str, Any]) -> Any:
    try:
        value = _run_here(call, positional, named)
    except BaseException as e:
        if call.in_child():
            _end_child(e)
        raise
    if call.in_child():
        _end_child(None)
    return value


def _end_child(failure: BaseException | None) -> NoReturn:
    """Ends a forked child that has come back out of its tool, which is the parent's to end."""
    status = 0
    if isinstance(failure, SystemExit) and isinstance(failure.code, int | None):
        status = failure.code or 0
    elif failure is not None:
        status = 1
        with contextlib.suppress(OSError):
            os.write(2, "".join(traceback.format_exception(failure)).encode(errors="replace"))
    os._exit(status & 0xFF)


def _run_here(call: Call, positional: list[Any], named: dict[str, Any]) -> Any:
    value = call.tool.function(*positional, **named)
    if call.tool.signature.stream or inspect.isgenerator(value):
        return _run_through(call, value)
    if inspect.iscoroutine(value):
        value.close()
        msg = f"{call.tool.name} gave a coroutine: make it async def, so that it can be awaited"
        raise TypeError(msg)
    return value


def _run_through(call: Call, chunks: Any) -> Encoded:
    gathered: list[bytes] | None = None if call.request.stream else []
    iterator = iter(chunks)
    try:
        for chunk in iterator:
            call.deliver(chunk, gathered)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
    return Encoded(b"" if gathered is None else call.request.codec.join(gathered))


class PoolRunner:
    """Runs ``def`` tools on threads of its own, as many as there are slots."""

    def __init__(self, slots: int) -> None:
        """Starts nothing yet.

        Args:
            slots: the most threads.
        """
        self._slots = slots
        self._jobs: SimpleQueue[Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._threads = 0
        self._spare = 0
        self.dispatcher: Dispatcher | None = None
        """Set before the first call."""

    def start(self, call: Call) -> None:
        """Has the call run by a thread that is free, or a new one."""
        with self._lock:
            if self._spare:
                self._spare -= 1
            elif self._threads < self._slots:
                self._threads += 1
                name = f"tool-{self._threads}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        self._jobs.put(call)

    def close(self) -> None:
        """Ends its threads."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while True:
            call = self._jobs.get()
            if call is None:
                return
            assert self.dispatcher is not None  # noqa: S101  set before the first call
            self.dispatcher.run(call, _interrupt.thread_token())
            del call
            with self._lock:
                self._spare += 1


class LoopRunner:
    """Runs ``async def`` tools on an event loop in a thread of its own, made at the first use."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        """Starts nothing yet.

        Args:
            dispatcher: whose calls it runs.
        """
        self._dispatcher = dispatcher
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, call: Call) -> None:
        """Has the call run as a task."""
        loop = self._loop or self._begin()
        loop.call_soon_threadsafe(self._spawn, loop, call)

    def close(self) -> None:
        """Ends its thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            _in_loop(loop, loop.stop)

    def _begin(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                args = (self._loop,)
                threading.Thread(target=_run_loop, args=args, name="tool-loop", daemon=True).start()
            return self._loop

    def _spawn(self, loop: asyncio.AbstractEventLoop, call: Call) -> None:
        task = loop.create_task(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call: Call) -> None:
        # Set in here: a task that is cancelled before it begins never begins.
        task = asyncio.current_task()
        if call.link.over:
            call.stop("cancelled")
        if call.tool.cancel == "interrupt" and task is not None:
            loop = asyncio.get_running_loop()
            call.interrupt = lambda _reason: _in_loop(loop, task.cancel)
        if call.reason is not None:
            self._dispatcher.finish(call, None, errors.Cancelled(call.reason))
            return
        if (late := self._dispatcher.outdated(call)) is not None:
            self._dispatcher.finish(call, None, late)
            return
        call.started = time.monotonic()
        try:
            positional, named = call.arguments()
        except BaseException as e:  # noqa: BLE001  a hint's own code may raise anything
            call.started = 0.0
            self._dispatcher.finish(call, None, e)
            return
        context = call.context()
        if call.tool.signature.context:
            named[call.tool.signature.context] = context
        _context.running.set(context)
        value: Any = None
        failure: BaseException | None = None
        try:
            value = await _run_async_tool(call, positional, named)
        except BaseException as e:  # noqa: BLE001  SystemExit too: a tool never ends its worker
            failure = e
        if call.in_child():
            _end_child(failure)
        self._dispatcher.finish(call, value, failure)


def _in_loop(loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(work)
    except RuntimeError:  # the loop is closed
        return


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    ended = False
    while not ended:
        try:
            loop.run_forever()
            ended = True
        except BaseException as e:  # noqa: BLE001  a task of a tool's own has called sys.exit
            loop.call_exception_handler({"message": "a task ended the loop", "exception": e})
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def _run_async_tool(call: Call, positional: list[Any], named: dict[str, Any]) -> Any:
    value: Any = call.tool.function(*positional, **named)
    if hasattr(value, "__await__"):
        value = await value
    if not _streams(call, value):
        return value
    gathered: list[bytes] | None = None if call.request.stream else []
    if hasattr(value, "__aiter__"):
        await _run_through_async(call, value, gathered)
    else:
        for chunk in value:
            await call.deliver_later(chunk, gathered)
    return Encoded(b"" if gathered is None else call.request.codec.join(gathered))


def _streams(call: Call, value: object) -> bool:
    return call.tool.signature.stream or inspect.isasyncgen(value)


async def _run_through_async(call: Call, chunks: Any, gathered: list[bytes] | None) -> None:
    iterator = aiter(chunks)
    try:
        async for chunk in iterator:
            await call.deliver_later(chunk, gathered)
    finally:
        close: Callable[[], Coroutine[Any, Any, None]] | None = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
