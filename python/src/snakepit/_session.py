"""A session as a tool sees it, and the small state that the host keeps for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from snakepit import _values, errors

if TYPE_CHECKING:
    from snakepit._context import Port

GET: Final = "snakepit.state.get"
SET: Final = "snakepit.state.set"

MAX_KEY: Final = 256
MAX_VALUE: Final = 4 << 10
MAX_KEYS: Final = 64
MAX_STATE: Final = 64 << 10

Change = dict[str, Any]
"""One entry of ``changes``, as the host takes it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    data: bytes
    version: int | None  # None: the host has told the value alone


class State(MutableMapping[str, Any]):
    """A session's state: a small mapping that the host keeps, and replicates in a cluster.

    It outlives the worker and, in a cluster, the node. Read it like a dict: what a call reads is
    fetched once, at its first look, and stays as it was but for its own writes. A write goes to the
    host at once, and returns when it's kept. What ``state["k"]`` gives is a copy: change it and
    write it back.

    At most 64 keys of 1 to 256 bytes, values of at most 4 KiB when encoded, and 64 KiB in all.
    Values are those that arguments and results may have.

    In an ``async def`` tool use the methods that begin with ``a``; after ``await state.aload()``
    reading like a dict works there as well.
    """

    def __init__(self, port: Port) -> None:
        """Made by the SDK."""
        self._port = port
        self._cache: dict[str, _Entry] | None = None
        # Another object at each begin and end of a write: who has read meanwhile reads again.
        self._last: object = None

    def seed(self, values: Mapping[str, bytes]) -> None:
        """Takes over what the host has sent along; for the SDK."""
        self._cache = {k: _Entry(v, None) for k, v in values.items()}

    # Reading.

    @override
    def __getitem__(self, key: str) -> Any:
        return _values.decode(self._read()[key].data)

    @override
    def __contains__(self, key: object) -> bool:
        return key in self._read()

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._read()))

    @override
    def __len__(self) -> int:
        return len(self._read())

    @override
    def __repr__(self) -> str:
        known = "not read yet" if self._cache is None else f"keys {sorted(self._cache)}"
        return f"<State, {known}>"

    def version(self, key: str) -> int:
        """Gives a key's version, which grows with each change; 0 when it isn't there."""
        entry = self._read().get(key)
        if entry is not None and entry.version is None:
            self._cache = None
            entry = self._read().get(key)
        return _version(entry)

    async def aload(self) -> None:
        """Fetches the state, if that wasn't done yet: from now on it can be read like a dict."""
        while self._cache is None:
            seen = self._last
            self._fetched(seen, await self._port.ask_later(GET, {}))

    async def aget(self, key: str, default: Any = None) -> Any:
        """Gives a key's value, or the default when it isn't there."""
        await self.aload()
        return self.get(key, default)

    async def aversion(self, key: str) -> int:
        """Gives a key's version; 0 when it isn't there."""
        await self.aload()
        entry = self._read().get(key)
        if entry is not None and entry.version is None:
            self._cache = None
            await self.aload()
        return self.version(key)

    def _read(self) -> dict[str, _Entry]:
        while (cache := self._cache) is None:
            self._refuse_loop("await state.aget(…), or await state.aload() first")
            seen = self._last
            self._fetched(seen, self._port.ask(GET, {}))
        return cache

    def _fetched(self, seen: object, got: dict[str, list[Any]]) -> None:
        if seen is self._last:
            self._cache = {k: _Entry(data, version) for k, (data, version) in got.items()}

    def _refuse_loop(self, instead: str) -> None:
        if self._port.in_loop():
            msg = f"the state would block the event loop: use {instead}"
            raise RuntimeError(msg)

    # Writing.

    @override
    def __setitem__(self, key: str, value: Any) -> None:
        self.write({key: value})

    @override
    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.write(delete=[key])

    @override
    def update(self, other: Any = (), /, **more: Any) -> None:
        """Sets several keys in one write: all of them, or none."""
        self.write(dict(other, **more))

    @override
    def clear(self) -> None:
        """Deletes all keys that this call has seen, in one write."""
        self.write(delete=list(self))

    def set(self, key: str, value: Any, *, expected: int | None = None) -> int:
        """Sets a key if it still has the version that was seen.

        Args:
            key: its name.
            value: its new value.
            expected: the version that it must have, 0 for none at all; None: whatever it has.

        Returns:
            Its version now.

        Raises:
            ConflictError: it has another one, which is the error's ``version``. The state was read
                again then.
        """
        return self.write({key: value}, expected=_expect(key, expected))

    def delete(self, key: str, *, expected: int | None = None) -> None:
        """Deletes a key, if it's there and still has the version that was seen.

        Args:
            key: its name.
            expected: the version that it must have; None: whatever it has.

        Raises:
            ConflictError: it has another one.
        """
        self.write(delete=[key], expected=_expect(key, expected))

    def write(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        delete: Iterable[str] = (),
        expected: Mapping[str, int] | None = None,
    ) -> int:
        """Changes several keys in one write: all of them, or none.

        Args:
            values: what to set.
            delete: the keys to delete.
            expected: for keys among those, the version that each must have; 0: it mustn't be there.

        Returns:
            The version of what was set; 0 when there was nothing to write.

        Raises:
            ConflictError: a key has another version. The error has its ``key`` and ``version``.
            PayloadTooLargeError: a value has more than 4 KiB, or the state more than 64.
            FencedError: the session has a newer owner; this call's is over.
        """
        changes = _changes(values or {}, delete, expected or {})
        if not changes:
            return 0
        self._refuse_loop("await state.aset(…), aupdate, adelete or awrite")
        mine = self._begin()
        try:
            version: int = self._port.ask(SET, {"changes": changes})
        except errors.ConflictError as e:
            self._dropped()
            self._explain(e, expected or {}, lambda: self._port.ask(GET, {}))
            raise
        except BaseException:
            self._dropped()  # it may have been kept
            raise
        self._wrote(mine, changes, version)
        return version

    async def aset(self, key: str, value: Any, *, expected: int | None = None) -> int:
        """Does what set does."""
        return await self.awrite({key: value}, expected=_expect(key, expected))

    async def adelete(self, key: str, *, expected: int | None = None) -> None:
        """Does what delete does."""
        await self.awrite(delete=[key], expected=_expect(key, expected))

    async def aupdate(self, other: Any = (), /, **more: Any) -> None:
        """Does what update does."""
        await self.awrite(dict(other, **more))

    async def awrite(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        delete: Iterable[str] = (),
        expected: Mapping[str, int] | None = None,
    ) -> int:
        """Does what write does."""
        changes = _changes(values or {}, delete, expected or {})
        if not changes:
            return 0
        mine = self._begin()
        try:
            version: int = await self._port.ask_later(SET, {"changes": changes})
        except errors.ConflictError as e:
            self._dropped()
            got = await _later_or_none(self._port)
            self._explain(e, expected or {}, lambda: got)
            raise
        except BaseException:
            self._dropped()
            raise
        self._wrote(mine, changes, version)
        return version

    def _begin(self) -> object:
        mine = self._last = object()
        return mine

    def _dropped(self) -> None:
        self._last, self._cache = object(), None

    def _wrote(self, mine: object, changes: list[Change], version: int) -> None:
        alone, self._last = self._last is mine, object()
        if not alone:  # another thread or task has written meanwhile: who was first isn't known
            self._cache = None
        elif self._cache is not None:
            self._apply(self._cache, changes, version)

    def _apply(self, cache: dict[str, _Entry], changes: list[Change], version: int) -> None:
        for change in changes:
            key: str = change["key"]
            if _version(cache.get(key)) > version:
                continue  # read since, with what somebody else wrote after us
            if "value" in change:
                cache[key] = _Entry(change["value"], version)
            else:
                cache.pop(key, None)

    def _explain(self, e: errors.ConflictError, expected: Mapping[str, int], read: Any) -> None:
        """Reads the state again, and tells which key it was."""
        seen = self._last
        try:
            got = read()
        except errors.Error:
            return  # the conflict is what counts
        if got is None:
            return
        self._fetched(seen, got)
        for key, version in expected.items():
            now: int = got[key][1] if key in got else 0
            if now != version:
                e.key, e.version = key, now
                return


async def _later_or_none(port: Port) -> Any:
    try:
        return await port.ask_later(GET, {})
    except errors.Error:
        return None


def _version(entry: _Entry | None) -> int:
    return 0 if entry is None or entry.version is None else entry.version


def _expect(key: str, version: int | None) -> dict[str, int] | None:
    return None if version is None else {key: version}


def _changes(
    values: Mapping[str, Any], delete: Iterable[str], expected: Mapping[str, int]
) -> list[Change]:
    changes = {k: _change(k, {"value": encode(k, v)}, expected) for k, v in values.items()}
    if isinstance(delete, str):
        raise TypeError("delete is a list of keys, not a key")
    for key in delete:
        if key in values:
            msg = f"{key!r} can't be set and deleted at once"
            raise ValueError(msg)
        changes[key] = _change(key, {}, expected)
    for key in expected:
        if key not in changes:
            msg = f"expected has {key!r}, which isn't written"
            raise ValueError(msg)
    return list(changes.values())


def _change(key: object, more: Change, expected: Mapping[str, int]) -> Change:
    if not isinstance(key, str):
        msg = f"a state's keys are strings, not {type(key).__name__}"
        raise TypeError(msg)
    size = len(key.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_KEY:
        msg = f"a state's keys have 1 to {MAX_KEY} bytes, and {key[:32]!r} has {size}"
        raise ValueError(msg)
    change: Change = {"key": key, **more}
    if key in expected:
        change["expected"] = expected[key]
    return change


def encode(key: object, value: Any) -> bytes:
    """Encodes a value of a state.

    Raises:
        InvalidArgumentsError: it can't be encoded.
        PayloadTooLargeError: it's too large.
    """
    try:
        data = _values.encode(value, strict=True)
    except errors.InvalidResultError as e:
        text = f"the state can't keep what {key!r} is to be: {e.message}"
        raise errors.InvalidArgumentsError(text, path=e.path, hint=e.hint) from None
    if len(data) > MAX_VALUE:
        text = f"the value of {key!r} has {len(data)} bytes, and a state's have {MAX_VALUE} at most"
        hint = "keep it elsewhere and only its name here, or give it along by on_session_save"
        raise errors.PayloadTooLargeError(text, hint=hint)
    return data


class Session:
    """The caller's session."""

    __slots__ = ("epoch", "home", "id", "state")

    def __init__(self, port: Port, name: str, *, home: bool = True, epoch: int = 0) -> None:
        """Made by the SDK."""
        self.id: Final = name
        """Its id."""
        self.home: Final = home
        """Whether this worker is its home; False where the home was busy or is gone."""
        self.epoch: Final = epoch
        """How often the session has got a new owner in its cluster; 0 outside of one."""
        self.state: Final = State(port)
        """What the host keeps for it."""

    @property
    def fencing_token(self) -> int:
        """The epoch, for storage that refuses whoever shows a lower one than it has seen."""
        return self.epoch

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Session) and other.id == self.id

    @override
    def __hash__(self) -> int:
        return hash(self.id)

    @override
    def __repr__(self) -> str:
        return f"Session({self.id!r}, home={self.home}, epoch={self.epoch})"
