"""Where a plugin's servers listen."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snakepit.plugin._errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc
    import grpc.aio

# sockaddr_un holds 108 bytes on Linux, the last of them a zero.
_LONGEST_PATH = 107

# go-plugin's own defaults, for a host that states none.
_MIN_PORT, _MAX_PORT = 10000, 25000


@dataclass(frozen=True)
class Address:
    """An address as the handshake line and the broker write it."""

    network: str
    """unix or tcp."""
    address: str
    """A path, or host:port."""

    @property
    def target(self) -> str:
        """The address as gRPC writes it."""
        return f"unix:{self.address}" if self.network == "unix" else self.address


class Sockets:
    """Hands out addresses for this process's servers and removes what they leave behind."""

    def __init__(self, *, tcp: bool = False) -> None:
        """Decides between Unix sockets and TCP.

        Args:
            tcp: listen on the loopback address even where there are Unix sockets.
        """
        self._tcp = tcp or not hasattr(socket, "AF_UNIX")
        self._folder_given = os.environ.get("PLUGIN_UNIX_SOCKET_DIR", "")
        self._group = os.environ.get("PLUGIN_UNIX_SOCKET_GROUP", "")
        self._ports = (
            os.environ.get("PLUGIN_MIN_PORT") or str(_MIN_PORT),
            os.environ.get("PLUGIN_MAX_PORT") or str(_MAX_PORT),
        )
        self._own_folder: Path | None = None
        self._paths: list[Path] = []
        self.addresses: set[str] = set()
        """Where this process's servers listen."""

    def bind(self, server: grpc.aio.Server, credentials: grpc.ServerCredentials | None) -> Address:
        """Makes the server listen on an address of its own.

        Raises:
            PluginError: no address can be had; the message says which one and why.
        """
        bind = self._bind_tcp if self._tcp else self._bind_unix
        address = bind(server, credentials)
        self.addresses.add(address.address)
        return address

    def open_up(self, address: Address) -> None:
        """Gives a listening Unix socket to the host's group, where the host named one."""
        if address.network != "unix" or not self._group:
            return
        try:
            _give_to_group(Path(address.address), self._group, 0o660)
        except (OSError, LookupError) as error:
            msg = f"PLUGIN_UNIX_SOCKET_GROUP={self._group}: {error}"
            raise PluginError(msg) from error

    def forget(self, address: Address) -> None:
        """Removes the socket of a server that has ended."""
        path = Path(address.address)
        self.addresses.discard(address.address)
        if path in self._paths:
            self._paths.remove(path)
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes every socket, and the folder that was made for them."""
        for path in self._paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._paths.clear()
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)
            self._own_folder = None

    def _bind_unix(
        self, server: grpc.aio.Server, credentials: grpc.ServerCredentials | None
    ) -> Address:
        # A new name for every server: gRPC binds over a live socket without a word.
        path = self._folder() / f"plugin{os.getpid()}-{secrets.token_hex(4)}"
        length = len(os.fsencode(path))
        if length > _LONGEST_PATH:
            self.remove()
            msg = (
                f"the socket's path has {length} bytes, and a Unix socket takes at most "
                f"{_LONGEST_PATH}: {path} (set TMPDIR, or the host's PLUGIN_UNIX_SOCKET_DIR, "
                "to a shorter folder)"
            )
            raise PluginError(msg)
        address = Address("unix", str(path))
        try:
            _add_port(server, address, credentials)
        except RuntimeError as error:
            self.remove()
            msg = f"can't listen on {path}: {error}"
            raise PluginError(msg) from error
        self._paths.append(path)
        return address

    def _folder(self) -> Path:
        if self._folder_given:
            return Path(self._folder_given)
        if self._own_folder is None:
            folder = Path(tempfile.mkdtemp(prefix="plugin"))
            self._own_folder = folder
            if self._group:
                with contextlib.suppress(OSError, LookupError):  # open_up reports it
                    _give_to_group(folder, self._group, 0o750)
        return self._own_folder

    def _bind_tcp(
        self, server: grpc.aio.Server, credentials: grpc.ServerCredentials | None
    ) -> Address:
        low, high = _port_range(*self._ports)
        for port in _free_ports(low, high):
            address = Address("tcp", f"127.0.0.1:{port}")
            with contextlib.suppress(RuntimeError):  # taken since we looked
                _add_port(server, address, credentials)
                return address
        msg = f"no free port on 127.0.0.1 from {low} to {high} (PLUGIN_MIN_PORT, PLUGIN_MAX_PORT)"
        raise PluginError(msg)


def _add_port(
    server: grpc.aio.Server, address: Address, credentials: grpc.ServerCredentials | None
) -> None:
    if credentials is None:
        server.add_insecure_port(address.target)
    else:
        server.add_secure_port(address.target, credentials)


def _give_to_group(path: Path, group: str, mode: int) -> None:
    # By name or, as go-plugin also takes it, by number.
    shutil.chown(path, group=int(group) if group.isdigit() else group)
    path.chmod(mode)


def _port_range(low: str, high: str) -> tuple[int, int]:
    if not (low.isdigit() and high.isdigit() and int(low) <= int(high) < 65536):
        msg = f"PLUGIN_MIN_PORT={low} and PLUGIN_MAX_PORT={high} are no range of ports"
        raise PluginError(msg)
    return int(low), int(high)


def _free_ports(low: int, high: int) -> Iterator[int]:
    for port in range(low, high + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
