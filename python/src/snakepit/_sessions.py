"""Sessions and their state in memory: what a host keeps, for tests."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakepit import _values, errors
from snakepit._session import MAX_KEYS, MAX_STATE, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snakepit._session import Change


@dataclass(slots=True)
class Record:
    """What is kept of one session, whichever worker has it."""

    epoch: int = 1
    version: int = 0
    values: dict[str, tuple[bytes, int]] = field(default_factory=dict[str, tuple[bytes, int]])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> dict[str, list[Any]]:
        """Gives the state as the host's tool does."""
        with self.lock:
            return {k: [data, version] for k, (data, version) in self.values.items()}

    def decoded(self) -> dict[str, Any]:
        """Gives the state's values."""
        return {k: _values.decode(data) for k, (data, _) in sorted(self.values.items())}

    def replace(self, values: Mapping[str, Any]) -> None:
        """Sets the whole state."""
        encoded = {k: encode(k, v) for k, v in values.items()}
        with self.lock:
            self.version += 1
            self.values = {k: (data, self.version) for k, data in encoded.items()}

    def change(self, epoch: int, changes: list[Change]) -> int:
        """Changes the state as the host's tool does.

        Raises:
            FencedError: the session has another epoch.
            ConflictError: a key has another version.
            PayloadTooLargeError: it would have too many keys, or too large ones.
        """
        with self.lock:
            if epoch != self.epoch:
                text = f"the session has epoch {self.epoch}, and the call {epoch}"
                raise errors.FencedError(text)
            values = dict(self.values)
            for change in changes:
                self._apply(values, change)
            size = sum(len(k.encode()) + len(data) for k, (data, _) in values.items())
            if len(values) > MAX_KEYS or size > MAX_STATE:
                text = (
                    f"a state of {len(values)} keys and {size} bytes, where at most {MAX_KEYS} "
                    f"and {MAX_STATE} are allowed"
                )
                raise errors.PayloadTooLargeError(text)
            self.version += 1
            self.values = values
            return self.version

    def _apply(self, values: dict[str, tuple[bytes, int]], change: Change) -> None:
        key: str = change["key"]
        _, version = values.get(key, (b"", 0))
        if "expected" in change and change["expected"] != version:
            text = f"{key!r} has version {version}, not {change['expected']}"
            raise errors.ConflictError(text)
        if "value" in change:
            values[key] = (change["value"], self.version + 1)
        else:
            values.pop(key, None)
