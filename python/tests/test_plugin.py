"""snakepit.plugin, seen from a host: every plugin here is a process of its own."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import empty_pb2

from plugin_host import CHILD, PATIENCE, BrokerStream, Host, Pidfd, Process, call, start_time
from snakepit.goplugin import stdio_pb2, stdio_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

health_pb2: Any = import_module("grpc_health.v1.health_pb2")  # it declares no types

needs_pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds")

Started = tuple[Process, Host]


@pytest.fixture
def close() -> Iterator[Callable[[Any], Any]]:
    """Closes what it's given at the end of the test, last one first."""
    with contextlib.ExitStack() as stack:

        def keep(thing: Any) -> Any:
            stack.callback(thing.close)
            return thing

        yield keep


@pytest.fixture
def launch(close: Callable[[Any], Any]) -> Callable[..., Process]:
    """Starts a plugin's process."""
    return lambda *args, **options: close(Process(*args, **options))


@pytest.fixture
def start(launch: Callable[..., Process], close: Callable[[Any], Any]) -> Callable[..., Started]:
    """Starts a plugin and connects to it."""

    def start(*args: str, **options: Any) -> Started:
        process = launch(*args, **options)
        line = process.handshake()
        assert line, process.wait() or process.said
        return process, close(Host(line))

    return start


class TestHandshake:
    def test_line_names_a_socket_that_listens(self, launch: Callable[..., Process]) -> None:
        line = launch().handshake()
        core, version, network, address, protocol, certificate = line.split("|")
        assert (core, version, network, protocol, certificate) == ("1", "3", "unix", "grpc", "")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)

    def test_multiplexing_is_never_offered(self, launch: Callable[..., Process]) -> None:
        line = launch(env={"PLUGIN_MULTIPLEX_GRPC": "true"}).handshake()
        assert line.count("|") == 5

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [("3", 3), ("1,3,2", 3), ("2,1", 1), (" 1 , junk, 3", 3), ("7", 1), ("", 1), (",,", 1)],
    )
    def test_highest_common_version_else_the_lowest(
        self, launch: Callable[..., Process], offered: str, chosen: int
    ) -> None:
        line = launch(env={"PLUGIN_PROTOCOL_VERSIONS": offered}).handshake()
        assert line.split("|")[1] == str(chosen)

    @pytest.mark.parametrize("cookie", ["", "no"])
    def test_without_the_cookie_it_explains_itself(
        self, launch: Callable[..., Process], cookie: str
    ) -> None:
        process = launch(env={"TEST_PLUGIN": cookie})
        assert process.wait() == 1
        assert "isn't meant to be run by hand" in "\n".join(process.said)
        assert process.rest_of_stdout() == b""

    def test_the_explanation_may_be_the_plugins_own(self, launch: Callable[..., Process]) -> None:
        process = launch("told", env={"TEST_PLUGIN": ""})
        assert process.wait() == 1
        assert process.said == ["use the other program"]

    def test_standard_output_carries_nothing_else(self, start: Callable[..., Started]) -> None:
        process, host = start("noise")
        assert process.rest_of_stdout() == b""
        host.shutdown()
        assert process.wait() == 0
        assert "printed early" in process.said
        assert "printed before the start" in process.said
        assert "written to descriptor 1" in process.said
        assert any("after the start, no newline" in line for line in process.said)

    def test_reader_that_is_gone_ends_it(self, launch: Callable[..., Process]) -> None:
        process = launch()
        assert process.popen.stdout is not None
        process.popen.stdout.close()
        assert process.wait() == 1
        assert "handshake line" in "\n".join(process.said)

    def test_failure_to_register_is_reported_at_once(self, launch: Callable[..., Process]) -> None:
        process = launch("broken")
        assert process.handshake() == ""
        assert process.wait() == 1
        assert "ZeroDivisionError" in "\n".join(process.said)

    def test_claiming_stdout_imports_no_grpc(self) -> None:
        code = (
            "import sys; from snakepit.plugin import claim_stdout;"
            "sys.exit('grpc' in sys.modules or 'asyncio' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603

    def test_what_the_host_said_isnt_passed_on(
        self, start: Callable[..., Started], tmp_path: Path
    ) -> None:
        _, host = start(
            env={
                "PLUGIN_MULTIPLEX_GRPC": "true",
                "PLUGIN_UNIX_SOCKET_DIR": str(tmp_path),
                "SNAKEPIT_WORKER_GUARDED": "1",
            }
        )
        assert host.call("told").strip() == b""


class TestSockets:
    def test_socket_is_where_the_host_wants_it(
        self, launch: Callable[..., Process], tmp_path: Path
    ) -> None:
        first, second = (
            Path(launch(env={"PLUGIN_UNIX_SOCKET_DIR": str(tmp_path)}).handshake().split("|")[3])
            for _ in range(2)
        )
        assert first.parent == second.parent == tmp_path
        assert first != second

    def test_own_folder_is_private_and_goes_away(self, start: Callable[..., Started]) -> None:
        process, host = start()
        folder = Path(host.fields[3]).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        host.shutdown()
        assert process.wait() == 0
        assert not folder.exists()

    def test_path_that_is_too_long_is_refused_up_front(
        self, launch: Callable[..., Process], tmp_path: Path
    ) -> None:
        folder = tmp_path / ("x" * 100)
        folder.mkdir()
        process = launch("serve", env={"PLUGIN_UNIX_SOCKET_DIR": str(folder)})
        assert process.wait() == 1
        (message,) = process.said
        assert "at most 107" in message
        assert "PLUGIN_UNIX_SOCKET_DIR" in message

    def test_folder_that_is_missing_is_named(
        self, launch: Callable[..., Process], tmp_path: Path
    ) -> None:
        process = launch("serve", env={"PLUGIN_UNIX_SOCKET_DIR": str(tmp_path / "missing")})
        assert process.wait() == 1
        assert str(tmp_path / "missing") in "\n".join(process.said)

    def test_group_may_connect(self, launch: Callable[..., Process], tmp_path: Path) -> None:
        env = {
            "PLUGIN_UNIX_SOCKET_DIR": str(tmp_path),
            "PLUGIN_UNIX_SOCKET_GROUP": str(os.getgid()),
        }
        path = Path(launch(env=env).handshake().split("|")[3])
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_gid == os.getgid()

    def test_unknown_group_is_an_error(self, launch: Callable[..., Process]) -> None:
        process = launch("serve", env={"PLUGIN_UNIX_SOCKET_GROUP": "nobody-has-this-group"})
        assert process.wait() == 1
        assert "PLUGIN_UNIX_SOCKET_GROUP" in "\n".join(process.said)

    def test_tcp_port_is_in_the_hosts_range(
        self, launch: Callable[..., Process], close: Callable[[Any], Any]
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            low = taken.getsockname()[1]
            env = {"PLUGIN_MIN_PORT": str(low), "PLUGIN_MAX_PORT": str(low + 50)}
            line = launch("tcp", env=env).handshake()
            _, _, network, address, *_ = line.split("|")
            assert network == "tcp"
            assert low < int(address.removeprefix("127.0.0.1:")) <= low + 50
            assert close(Host(line)).call("echo", b"over TCP") == b"over TCP"

    def test_no_free_tcp_port_is_an_error(self, launch: Callable[..., Process]) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            process = launch("tcp", env={"PLUGIN_MIN_PORT": port, "PLUGIN_MAX_PORT": port})
            assert process.wait() == 1
            assert f"no free port on 127.0.0.1 from {port} to {port}" in "\n".join(process.said)


class TestServices:
    @pytest.mark.parametrize("name", ["", "plugin"])
    def test_health_is_serving(self, start: Callable[..., Started], name: str) -> None:
        _, host = start()
        check: Any = host.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = check(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

    @pytest.mark.parametrize("version", ["v1", "v1alpha"])
    def test_reflection_lists_the_services(
        self, start: Callable[..., Started], version: str
    ) -> None:
        _, host = start()
        stream: Any = host.channel.stream_stream
        ask = stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
        # list_services = "" ; the answer's service names stand in it as text.
        (answer,) = ask(iter([b"\x3a\x00"]), timeout=PATIENCE)
        for name in (b"test.Echo", b"plugin.GRPCBroker", b"plugin.GRPCController"):
            assert name in answer

    def test_plain_methods_run_on_threads(self, start: Callable[..., Started]) -> None:
        _, host = start()
        assert host.call("thread").startswith(b"plugin-call")

    def test_large_messages_pass(self, start: Callable[..., Started]) -> None:
        _, host = start()
        payload = os.urandom(16 << 20)
        assert host.call("echo", payload) == payload

    def test_output_is_forwarded(self, start: Callable[..., Started]) -> None:
        process, host = start()
        stub: Any = stdio_pb2_grpc.GRPCStdioStub(host.channel)  # type: ignore[no-untyped-call]
        host.call("output", b"before anybody listens\n")
        stream = stub.StreamStdio(empty_pb2.Empty())
        host.call("output", b"later\n")
        got = {stdio_pb2.StdioData.STDOUT: b"", stdio_pb2.StdioData.STDERR: b""}
        while not all(data.lower().endswith(b"later\n") for data in got.values()):
            piece = next(stream)
            got[piece.channel] += piece.data
        assert got[stdio_pb2.StdioData.STDOUT] == b"before anybody listens\nlater\n"
        assert got[stdio_pb2.StdioData.STDERR] == b"BEFORE ANYBODY LISTENS\nLATER\n"
        host.shutdown()
        assert process.wait() == 0

    def test_next_hosts_streams_take_the_place_of_a_dead_ones(
        self, start: Callable[..., Started], close: Callable[[Any], Any]
    ) -> None:
        _, first = start()
        listen: Any = stdio_pb2_grpc.GRPCStdioStub(first.channel)  # type: ignore[no-untyped-call]
        before = listen.StreamStdio(empty_pb2.Empty())
        broker = close(BrokerStream(first))
        first.call("output", b"one")
        assert {next(before).data, next(before).data} == {b"one", b"ONE"}
        number = first.call("serve")
        assert broker.next().service_id == int(number)
        first.close()

        second = close(Host("|".join(first.fields)))
        second.call("output", b"between")
        listen = stdio_pb2_grpc.GRPCStdioStub(second.channel)  # type: ignore[no-untyped-call]
        stream = listen.StreamStdio(empty_pb2.Empty())
        assert {next(stream).data, next(stream).data} == {b"between", b"BETWEEN"}
        new_broker = close(BrokerStream(second))
        number = second.call("serve")
        assert new_broker.next().service_id == int(number)

    def test_output_goes_to_the_host_that_listened_last(
        self, start: Callable[..., Started], close: Callable[[Any], Any]
    ) -> None:
        _, first = start()
        second = close(Host("|".join(first.fields)))
        streams: list[Any] = []
        for host in (first, second):
            stub: Any = stdio_pb2_grpc.GRPCStdioStub(host.channel)  # type: ignore[no-untyped-call]
            streams.append(stub.StreamStdio(empty_pb2.Empty()))
            host.call("output", b"x")
            assert {next(streams[-1]).data, next(streams[-1]).data} == {b"x", b"X"}
        with pytest.raises(StopIteration):
            next(streams[0])
        first.call("output", b"y")
        assert {next(streams[1]).data, next(streams[1]).data} == {b"y", b"Y"}


class TestBroker:
    def test_host_dials_a_server_of_the_plugins(
        self, start: Callable[..., Started], close: Callable[[Any], Any]
    ) -> None:
        _, host = start()
        broker = close(BrokerStream(host))
        number = host.call("serve")
        info = broker.next()
        assert (str(info.service_id).encode(), info.network) == (number, "unix")
        with grpc.insecure_channel(f"unix:{info.address}") as channel:
            assert call(channel, "/test.Echo/echo", b"brokered") == b"brokered"
        host.call("end", number)
        assert not Path(info.address).exists()

    @pytest.mark.parametrize(
        ("method", "told"), [("dial", "from the loop"), ("dial_thread", "from a thread")]
    )
    def test_plugin_dials_a_server_of_the_hosts(
        self,
        start: Callable[..., Started],
        close: Callable[[Any], Any],
        tmp_path: Path,
        method: str,
        told: str,
    ) -> None:
        _, host = start()
        broker = close(BrokerStream(host))
        with host_server(f"unix:{tmp_path}/host"):
            broker.announce(7, "unix", f"{tmp_path}/host")
            assert host.call(method, b"7") == f"hello {told}".encode()
            broker.announce(8, "carrier pigeon", "coop")
            with pytest.raises(grpc.RpcError, match="network 'carrier pigeon'"):
                host.call(method, b"8")

    def test_forked_child_holds_no_brokered_server(
        self, start: Callable[..., Started], close: Callable[[Any], Any]
    ) -> None:
        _, host = start()
        broker = close(BrokerStream(host))
        host.call("serve")
        brokered = broker.next().address
        with grpc.insecure_channel(f"unix:{brokered}") as channel:
            child = int(call(channel, "/test.Echo/grow", b""))
            for address in (brokered, host.fields[3]):
                assert not holds_socket(child, address)
            assert call(channel, "/test.Echo/echo", b"still here") == b"still here"

    def test_streams_end_with_the_plugin(
        self, start: Callable[..., Started], close: Callable[[Any], Any]
    ) -> None:
        process, host = start()
        broker = close(BrokerStream(host))
        host.call("serve")
        broker.next()
        host.shutdown()
        with pytest.raises((StopIteration, grpc.RpcError)):
            broker.next()
        assert process.wait() == 0


@contextlib.contextmanager
def host_server(target: str) -> Generator[None]:
    """Serves test.Host, as a host does for its plugin."""

    def hello(request: bytes, _context: grpc.ServicerContext) -> bytes:
        return b"hello " + request

    handlers: dict[str, Any] = {"Hello": grpc.unary_unary_rpc_method_handler(hello)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Host", handlers)])
    server.add_insecure_port(target)
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


class TestEnd:
    def test_shutdown_is_acknowledged_and_callbacks_run_in_order(
        self, start: Callable[..., Started]
    ) -> None:
        process, host = start()
        host.shutdown()
        assert process.wait() == 0
        assert process.said == ["first callback", "second callback"]

    def test_callback_that_raises_stops_no_other(self, start: Callable[..., Started]) -> None:
        process, host = start("raising")
        host.shutdown()
        assert process.wait() == 0
        assert "a callback's message" in "\n".join(process.said)
        assert process.said[-1] == "second callback"

    @pytest.mark.parametrize("mode", ["stuck", "spin"])
    def test_nothing_holds_up_the_end(self, start: Callable[..., Started], mode: str) -> None:
        process, host = start(mode)
        began = time.monotonic()
        host.shutdown()
        assert process.wait() == 0
        took = time.monotonic() - began
        print(f"{mode}: ended {took:.3f} s after Shutdown")  # noqa: T201
        assert took < 15  # ten times the bound

    def test_sigterm_lets_a_running_call_finish(self, start: Callable[..., Started]) -> None:
        process, host = start()
        unary: Any = host.channel.unary_unary
        answer = unary("/test.Echo/slow").future(b"done", timeout=PATIENCE)
        process.hear("slow has begun")
        process.popen.send_signal(signal.SIGTERM)
        assert answer.result() == b"done"
        assert process.wait() == 0
        assert "first callback" in process.said

    def test_sigterm_ends_a_plugin_whose_main_thread_is_busy(
        self, start: Callable[..., Started]
    ) -> None:
        process, _ = start("spin")
        process.hear("spinning")
        process.popen.send_signal(signal.SIGTERM)
        assert process.wait() == 0

    def test_sigint_is_the_hosts_business(self, start: Callable[..., Started]) -> None:
        process, host = start()
        process.popen.send_signal(signal.SIGINT)
        assert host.call("echo", b"still here") == b"still here"

    def test_stop_ends_the_process(self, launch: Callable[..., Process]) -> None:
        process = launch("stop")
        assert process.wait() == 0
        assert "first callback" in process.said

    @needs_pidfd
    def test_terminating_a_forked_child_leaves_the_plugin_alone(
        self, start: Callable[..., Started], close: Callable[[Any], Any]
    ) -> None:
        process, host = start("fork")
        assert process.hear("child ended").endswith(str(-signal.SIGTERM))
        assert host.call("echo", b"still here") == b"still here"
        (child,) = children(process.popen.pid)
        assert not holds_socket(child, host.fields[3])
        pidfd = close(Pidfd(child))
        host.shutdown()
        assert process.wait() == 0
        pidfd.ended_after()


def children(pid: int) -> list[int]:
    """Lists the live children of a process."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (folder / "stat").read_text(encoding="utf-8")
            if status[status.rindex(")") :].split()[2] == str(pid):
                found.append(int(folder.name))
    return found


def holds_socket(pid: int, path: str) -> bool:
    """Tells whether a process has a descriptor of a Unix socket with this path."""
    table = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()
    inodes = {fields[6] for line in table if (fields := line.split())[-1] == path}
    assert inodes
    held = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    return not held.isdisjoint(f"socket:[{inode}]" for inode in inodes)


# A host that starts a plugin, passes its handshake line on, and waits to be killed.
LAUNCHER = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, start_new_session={session})
print(child.stdout.readline().decode(), end="", flush=True)
child.wait()
"""


class Launcher:
    """The parent of a plugin, to be killed."""

    def __init__(self, mode: str, *, session: bool = False, grace: str = "") -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("PLUGIN_")}
        env |= {"TEST_PLUGIN": "yes", "PLUGIN_PROTOCOL_VERSIONS": "3"}
        if grace:
            env["SNAKEPIT_WORKER_GRACE"] = grace
        code = LAUNCHER.format(session=session)
        self.popen = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", code, sys.executable, str(CHILD), mode],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            text=True,
        )
        assert self.popen.stdout is not None
        self.line = self.popen.stdout.readline().rstrip("\n")
        self.host = Host(self.line)
        pid, parent = map(int, self.host.call("pid").split())
        assert parent == self.popen.pid
        self.plugin = Pidfd(pid)
        self.start_time = start_time(pid)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(PATIENCE)

    def close(self) -> None:
        self.kill()
        self.host.close()
        with contextlib.suppress(ProcessLookupError):
            if start_time(self.plugin.pid) == self.start_time:
                os.kill(self.plugin.pid, signal.SIGKILL)
        self.plugin.close()
        for pipe in (self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()


@needs_pidfd
class TestHostGone:
    @pytest.mark.parametrize("mode", ["plain", "spin", "stuck"])
    def test_plugin_ends_by_itself(self, close: Callable[[Any], Any], mode: str) -> None:
        launcher = close(Launcher(mode))
        launcher.host.close()
        launcher.kill()
        took = launcher.plugin.ended_after()
        print(f"{mode}: ended {took:.3f} s after its host")  # noqa: T201
        assert took < 20  # ten times the bound

    def test_another_connection_keeps_it_alive(self, close: Callable[[Any], Any]) -> None:
        launcher = close(Launcher("plain"))
        launcher.kill()
        while launcher.host.call("pid").split()[1] == str(launcher.popen.pid).encode():
            pass  # until the kernel has given it another parent
        for _ in range(20):
            assert launcher.host.call("echo", b"still here") == b"still here"
        launcher.host.close()
        launcher.plugin.ended_after()

    def test_grace_leaves_time_for_another_host(self, close: Callable[[Any], Any]) -> None:
        launcher = close(Launcher("plain", grace="600"))
        launcher.host.close()
        launcher.kill()
        other = close(Host(launcher.line))
        assert other.call("echo", b"still here") == b"still here"
        other.shutdown()
        launcher.plugin.ended_after()

    def test_leader_takes_its_group_along(self, close: Callable[[Any], Any]) -> None:
        launcher = close(Launcher("group", session=True))
        assert launcher.popen.stderr is not None
        grandchild = close(Pidfd(int(launcher.popen.stderr.readline().split()[1])))
        launcher.host.close()
        launcher.kill()
        launcher.plugin.ended_after()
        grandchild.ended_after()


class TestTLS:
    def test_both_sides_prove_who_they_are(
        self, launch: Callable[..., Process], close: Callable[[Any], Any]
    ) -> None:
        key, certificate = self_signed("secp256r1")
        line = launch("tls", env={"PLUGIN_CLIENT_CERT": certificate}).handshake()
        field = line.split("|")[5]
        assert "=" not in field
        theirs = pem(base64.b64decode(field + "=" * (-len(field) % 4)))
        credentials = grpc.ssl_channel_credentials(theirs, key.encode(), certificate.encode())
        assert close(Host(line, (credentials, ""))).call("echo", b"secret") == b"secret"

        other_key, other = self_signed("secp256r1")
        for wrong in (
            grpc.ssl_channel_credentials(theirs),
            grpc.ssl_channel_credentials(theirs, other_key.encode(), other.encode()),
            grpc.ssl_channel_credentials(other.encode(), key.encode(), certificate.encode()),
        ):
            stranger: Any = close(Host(line, (wrong, ""))).channel.unary_unary("/test.Echo/echo")
            with pytest.raises(grpc.RpcError):
                stranger(b"secret", timeout=PATIENCE)

    def test_p521_is_refused_with_advice(self, launch: Callable[..., Process]) -> None:
        _, certificate = self_signed("secp521r1")
        process = launch("serve", env={"PLUGIN_CLIENT_CERT": certificate})
        assert process.wait() == 1
        (message,) = process.said
        assert "AutoMTLS" in message
        assert "TLSConfig" in message

    def test_missing_library_is_named(self, launch: Callable[..., Process]) -> None:
        _, certificate = self_signed("secp256r1")
        process = launch("no-library", env={"PLUGIN_CLIENT_CERT": certificate})
        assert process.wait() == 1
        assert "cryptography" in process.said[0]

    def test_plugin_that_insists_says_what_it_misses(self, launch: Callable[..., Process]) -> None:
        process = launch("tls")
        assert process.wait() == 1
        assert "PLUGIN_CLIENT_CERT" in process.said[0]

    @pytest.mark.parametrize(
        "text", ["junk", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----"]
    )
    def test_junk_is_no_certificate(self, launch: Callable[..., Process], text: str) -> None:
        process = launch("serve", env={"PLUGIN_CLIENT_CERT": text})
        assert process.wait() == 1
        assert "no PEM certificate" in process.said[0]

    def test_refusing_tls_ignores_a_leaked_certificate(
        self, launch: Callable[..., Process], close: Callable[[Any], Any]
    ) -> None:
        _, certificate = self_signed("secp521r1")
        line = launch("no-tls", env={"PLUGIN_CLIENT_CERT": certificate}).handshake()
        assert line.endswith("|")
        assert close(Host(line)).call("echo", b"plain") == b"plain"


def pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def self_signed(curve: str) -> tuple[str, str]:
    """Makes a host's key and certificate, both PEM."""
    import datetime  # noqa: PLC0415

    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key({"secp256r1": ec.SECP256R1, "secp521r1": ec.SECP521R1}[curve]())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
    )
