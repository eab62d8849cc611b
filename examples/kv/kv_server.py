"""A key-value store as a go-plugin plugin: a gRPC service of its own, on snakepit.plugin.

Its host, ``go run ./examples/kv``, starts it; by hand it only explains itself.
"""

from __future__ import annotations

# Before anything else can print: standard output belongs to the handshake.
from snakepit.plugin import claim_stdout

claim_stdout()

import asyncio  # noqa: E402
import os  # noqa: E402
from collections.abc import AsyncIterator, Iterator, MutableMapping  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, TypeAlias  # noqa: E402
from urllib.parse import quote, unquote  # noqa: E402

import grpc  # noqa: E402
import grpc.aio  # noqa: E402
import kv_pb2  # noqa: E402
import kv_pb2_grpc  # noqa: E402
from typing_extensions import override  # noqa: E402

from snakepit.plugin import Broker, Handshake, Plugin, PluginError  # noqa: E402

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

HANDSHAKE = Handshake("KV_PLUGIN", "7b1c6a52-a7a9-4a4f-8f0e-2b8a0a3f5c11")

# Changes that wait for a watcher; one that falls further behind is told so.
MOST_WAITING = 1024

# A key's most bytes, so that it is a file's name also when each of them is quoted.
LONGEST_KEY = 80

# A snapshot is served for this long, in seconds.
SNAPSHOT_LIFE = 600.0


class Files(MutableMapping[str, bytes]):
    """A folder as a mapping: one file for each key."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder, which is made where it's missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def _path(self, key: str) -> Path:
        return self._folder / (quote(key, safe="") + ".value")

    @override
    def __getitem__(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None

    @override
    def __setitem__(self, key: str, value: bytes) -> None:
        self._path(key).write_bytes(value)

    @override
    def __delitem__(self, key: str) -> None:
        try:
            self._path(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    @override
    def __iter__(self) -> Iterator[str]:
        return (unquote(path.stem) for path in self._folder.glob("*.value"))

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


class KV(kv_pb2_grpc.KVServicer):
    """The store. Its methods run on the plugin's event loop, one at a time: it needs no lock."""

    def __init__(self, values: MutableMapping[str, bytes]) -> None:
        """Serves these values."""
        self.values = values
        self._watchers: set[asyncio.Queue[kv_pb2.Change]] = set()

    @override
    async def Put(self, request: kv_pb2.PutRequest, context: Context) -> kv_pb2.PutResponse:
        """Stores a value."""
        if not 0 < len(request.key.encode()) <= LONGEST_KEY:
            text = f"a key has 1 to {LONGEST_KEY} bytes"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        self.store(request.key, request.value)
        return kv_pb2.PutResponse()

    @override
    async def Get(self, request: kv_pb2.GetRequest, context: Context) -> kv_pb2.GetResponse:
        """Returns a value."""
        value = self.values.get(request.key)
        if value is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such key")
        return kv_pb2.GetResponse(value=value)

    @override
    async def Delete(
        self, request: kv_pb2.DeleteRequest, context: Context
    ) -> kv_pb2.DeleteResponse:
        """Removes a value."""
        if self.values.pop(request.key, None) is not None:
            self._tell(kv_pb2.Change(key=request.key, deleted=True))
        return kv_pb2.DeleteResponse()

    @override
    async def Watch(
        self, request: kv_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[kv_pb2.Change]:
        """Tells of changes until the caller has heard enough."""
        changes: asyncio.Queue[kv_pb2.Change] = asyncio.Queue()
        self._watchers.add(changes)
        try:
            yield kv_pb2.Change()
            while changes.qsize() <= MOST_WAITING:
                change = await changes.get()
                if change.key.startswith(request.prefix):
                    yield change
        finally:
            self._watchers.discard(changes)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the watcher fell behind")

    def store(self, key: str, value: bytes) -> None:
        """Stores a value and tells the watchers."""
        self.values[key] = value
        self._tell(kv_pb2.Change(key=key, value=value))

    def _tell(self, change: kv_pb2.Change) -> None:
        for changes in self._watchers:
            if changes.qsize() <= MOST_WAITING:
                changes.put_nowait(change)


class Brokered(kv_pb2_grpc.BrokeredServicer):
    """What version 2 adds: further connections, one in each direction."""

    def __init__(self, kv: KV, broker: Broker) -> None:
        """Serves this store with this broker."""
        self._kv = kv
        self._broker = broker

    @override
    async def Merge(self, request: kv_pb2.MergeRequest, context: Context) -> kv_pb2.MergeResponse:
        """Asks the host, on a server of the host's own, what to store."""
        try:
            channel = await self._broker.dial(request.merger)
        except PluginError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        async with channel:
            merger = kv_pb2_grpc.MergerStub(channel)
            old = self._kv.values.get(request.key, b"")
            answer = await merger.Values(kv_pb2.ValuesRequest(old=old, new=request.value))
        self._kv.store(request.key, answer.merged)
        return kv_pb2.MergeResponse(value=answer.merged)

    @override
    async def Snapshot(
        self, request: kv_pb2.SnapshotRequest, context: Context
    ) -> kv_pb2.SnapshotResponse:
        """Serves a copy of the store to the host, on a server of our own."""
        frozen = KV(dict(self._kv.values))
        number = self._broker.next_id()

        def register(server: grpc.aio.Server) -> None:
            kv_pb2_grpc.add_KVServicer_to_server(frozen, server)

        await self._broker.accept(number, register)
        loop = asyncio.get_running_loop()
        loop.call_later(SNAPSHOT_LIFE, lambda: loop.create_task(self._broker.end(number)))
        return kv_pb2.SnapshotResponse(store=number)


def plugin_for(kv: KV) -> Plugin:
    """Describes the plugin: the store alone in version 1, and the brokered calls in version 2."""

    def version_1(server: grpc.aio.Server) -> None:
        kv_pb2_grpc.add_KVServicer_to_server(kv, server)

    def version_2(server: grpc.aio.Server) -> None:
        version_1(server)
        kv_pb2_grpc.add_BrokeredServicer_to_server(Brokered(kv, plugin.broker), server)

    plugin = Plugin(HANDSHAKE, {1: version_1, 2: version_2})
    return plugin


def main() -> None:
    """Serves the values of KV_FOLDER, or none at first and in memory."""
    folder = os.environ.get("KV_FOLDER")
    plugin_for(KV(Files(Path(folder)) if folder else {})).start().wait()


if __name__ == "__main__":
    main()
