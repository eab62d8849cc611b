"""Parts of snakepit.plugin that a host can't easily reach from outside."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from snakepit.goplugin import broker_pb2
from snakepit.plugin import Handshake, Plugin, PluginError, Stdio, _broker, _host
from snakepit.plugin._broker import Broker
from snakepit.plugin._host import HostWatch
from snakepit.plugin._listen import Address, Sockets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

T = TypeVar("T")


class Listener:
    """A listening socket, as gRPC has one, with a connection to it."""

    def __init__(self, path: Path) -> None:
        self.address = Address("unix", str(path))
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.address.address)
        self._socket.listen()

    def connect(self) -> tuple[socket.socket, socket.socket]:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.address.address)
        accepted, _ = self._socket.accept()
        return client, accepted

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(tmp_path / "s")
    yield made
    made.close()


class TestHostWatch:
    def test_host_that_never_connected_isnt_gone_while_our_parent_lives(
        self, listener: Listener
    ) -> None:
        watch = HostWatch(0.0)
        watch.listen_on(listener.address)
        assert not watch.gone(0.0)
        assert not watch.gone(1e9)

    def test_connection_lost_under_a_live_parent_is_forgiven_for_five_seconds(
        self, listener: Listener
    ) -> None:
        watch = HostWatch(0.0)
        watch.listen_on(listener.address)
        client, accepted = listener.connect()
        assert not watch.gone(100.0)
        client.close()  # gRPC may not have noticed yet: it still has the accepted end
        assert not watch.gone(101.0)
        assert not watch.gone(105.9)
        assert watch.gone(106.0)
        accepted.close()

    def test_new_connection_starts_the_count_anew(self, listener: Listener) -> None:
        watch = HostWatch(0.0)
        watch.listen_on(listener.address)
        pairs = [listener.connect()]
        assert not watch.gone(100.0)
        pairs[0][0].close()
        assert not watch.gone(101.0)
        pairs.append(listener.connect())
        assert not watch.gone(200.0)
        pairs[1][0].close()
        assert not watch.gone(201.0)
        assert watch.gone(206.0)
        for client, accepted in pairs:
            client.close()
            accepted.close()

    def test_longer_grace_counts_for_a_live_parent_too(self, listener: Listener) -> None:
        watch = HostWatch(60.0)
        watch.listen_on(listener.address)
        client, accepted = listener.connect()
        assert not watch.gone(100.0)
        client.close()
        accepted.close()
        assert not watch.gone(101.0)
        assert not watch.gone(160.9)
        assert watch.gone(161.0)

    @pytest.mark.parametrize("grace", [0.0, 3.0])
    def test_dead_parent_and_no_connection_is_gone_after_the_grace(
        self, listener: Listener, monkeypatch: pytest.MonkeyPatch, grace: float
    ) -> None:
        watch = HostWatch(grace)
        watch.listen_on(listener.address)
        client, accepted = listener.connect()
        monkeypatch.setattr(os, "getppid", lambda: 1)
        assert not watch.gone(100.0)
        client.close()
        accepted.close()
        assert watch.gone(101.0) is (grace == 0.0)
        assert watch.gone(101.0 + grace)

    def test_guarded_host_is_gone_with_our_parent_and_not_before(
        self, listener: Listener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watch = HostWatch(0.0, guarded=True)
        watch.listen_on(listener.address)
        client, accepted = listener.connect()
        assert not watch.gone(100.0)
        client.close()
        accepted.close()
        assert not watch.gone(101.0)
        assert not watch.gone(1e9)
        other, accepted = listener.connect()
        monkeypatch.setattr(os, "getppid", lambda: 1)
        assert watch.gone(1e9 + 1)
        other.close()
        accepted.close()

    def test_parent_may_be_process_one(
        self, listener: Listener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "getppid", lambda: 1)
        watch = HostWatch(0.0, guarded=True)
        watch.listen_on(listener.address)
        assert not watch.gone(1e9)

    def test_streams_are_counted_where_the_kernel_cant_be_asked(
        self, listener: Listener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unknown(_address: Address) -> None:
            return None

        monkeypatch.setattr(_host, "_peers", unknown)
        watch = HostWatch(0.0)
        watch.listen_on(listener.address)
        watch.streams = 1
        assert not watch.gone(100.0)
        watch.streams = 0
        assert not watch.gone(101.0)
        assert watch.gone(106.0)


class TestStdio:
    def test_what_waits_is_bounded_and_the_oldest_goes_first(self) -> None:
        stdio = Stdio()
        stdio.stdout.write(b"old")
        stdio.stdout.write(b"n" * (1 << 20))
        assert stdio.dropped == 3
        waiting = 0
        while (piece := stdio.take()) is not None:
            assert set(piece.data) == {ord("n")}
            waiting += len(piece.data)
        assert waiting == 1 << 20

    def test_one_write_beyond_the_bound_keeps_its_end(self) -> None:
        stdio = Stdio()
        stdio.stderr.write(b"x" * (3 << 20) + b"the end")
        last = b""
        while (piece := stdio.take()) is not None:
            last = piece.data
        assert last.endswith(b"the end")

    def test_nothing_is_taken_after_the_end(self) -> None:
        stdio = Stdio()
        stdio.close()
        stdio.stdout.write(b"late")
        assert stdio.take() is None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes both sides of the broker wait 10 ms instead of 5 s."""
    monkeypatch.setattr(_broker, "_RENDEZVOUS", 0.01)


@pytest.mark.usefixtures("impatient")
class TestBroker:
    def test_ids_are_never_given_twice(self) -> None:
        broker = Broker(Sockets())
        assert [broker.next_id() for _ in range(3)] == [1, 2, 3]

    def test_it_says_so_when_the_plugin_isnt_running(self) -> None:
        with pytest.raises(PluginError, match="isn't running"):
            Broker(Sockets()).dial_sync(1)

    def test_dialling_a_host_that_says_nothing_fails(self) -> None:
        async def dial(broker: Broker) -> None:
            await broker.dial(9)

        with pytest.raises(PluginError, match=r"AcceptAndServe\(9"):
            asyncio.run(with_broker(dial))

    def test_accepting_without_a_stream_fails(self) -> None:
        async def accept(broker: Broker) -> None:
            await broker.accept(1, print)

        with pytest.raises(PluginError, match="no broker stream"):
            asyncio.run(with_broker(accept))

    def test_blocking_on_the_loop_is_refused(self) -> None:
        async def block(broker: Broker) -> None:
            broker.dial_sync(1)

        with pytest.raises(PluginError, match="await the other form"):
            asyncio.run(with_broker(block))

    def test_addresses_that_nobody_wants_are_forgotten(self) -> None:
        async def flood(broker: Broker) -> tuple[int, int]:
            infos = [broker_pb2.ConnInfo(service_id=i, network="unix") for i in range(5000)]
            async for _ in broker.stream(several(infos)):
                pass
            at_once = broker.waiting
            await asyncio.sleep(0.1)
            return at_once, broker.waiting

        assert asyncio.run(with_broker(flood)) == (1024, 0)


async def with_broker(use: Callable[[Broker], Coroutine[Any, Any, T]]) -> T:
    broker = Broker(Sockets())
    broker.bind(asyncio.get_running_loop(), None)
    return await use(broker)


async def several(infos: list[broker_pb2.ConnInfo]) -> AsyncIterator[broker_pb2.ConnInfo]:
    for info in infos:
        yield info


def test_plugin_without_versions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one protocol version"):
        Plugin(Handshake("KEY", "value"), {})
