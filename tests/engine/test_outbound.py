"""Calling a URL that somebody else chose: nothing private is reached, nothing takes for ever."""

import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from saga import InvalidInput
from saga.core.callbacks import check_url
from saga.engine.callbacks.safe_post import BadAnswer, Policy, Refused, is_public, post
from tests.live.receiver import receiving, status

LOOPBACK = Policy.parse("127.0.0.0/8, ::1")
PATIENCE = 30.0
"""Seconds; far more than what is said at once takes on an idle machine."""


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused, match="not a public address"):
        post(f"https://{literal}:9/", b"", {}, Policy(), seconds=1)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_what_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
def test_names_and_odd_spellings_of_private_addresses(host: str) -> None:
    with pytest.raises(Refused):
        post(f"https://{host}:9/", b"", {}, Policy(), seconds=1)


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Makes every name mean these addresses; returns the names that were asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        post("https://shop.example/", b"", {}, Policy(), seconds=1)


def test_public_addresses_want_https(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, "8.8.8.8")
    with pytest.raises(Refused, match="https only"):
        post("http://shop.example/", b"", {}, Policy(), seconds=1)


def test_the_checked_address_is_the_one_that_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is resolved once, so that it cannot mean something else a moment later."""
    asked = resolving_to(monkeypatch, "127.0.0.1")
    with receiving() as receiver:
        port = receiver.url.rpartition(":")[2].partition("/")[0]
        url = f"http://shop.example:{port}/a?b=c"
        assert post(url, b"{}", {"x-y": "z"}, LOOPBACK) == 204
    assert asked == ["shop.example"]
    (received,) = receiver.received
    assert (received.path, received.body) == ("/a?b=c", b"{}")
    assert received.headers["host"] == f"shop.example:{port}"
    assert received.headers["x-y"] == "z"


@pytest.mark.parametrize("code", [200, 204, 301, 302, 307, 400, 410, 500, 503])
def test_the_status_is_what_is_returned_and_no_redirect_is_followed(code: int) -> None:
    with receiving() as elsewhere, receiving(status(code, Location=elsewhere.url)) as receiver:
        assert post(receiver.url, b"{}", {}, LOOPBACK) == code
    assert elsewhere.received == []


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Generator[str]:
    """A server whose connection is `answer`'s to misuse."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)

        def serve() -> None:
            with suppress(OSError):  # nobody comes, or whoever came has gone
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(PATIENCE)
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join()


def say_nothing(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


def drip(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"H")
        time.sleep(0.05)


def drip_heads(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [say_nothing, drip, drip_heads])
def test_a_slow_answer_ends_at_the_deadline(answer: Callable[[socket.socket], None]) -> None:
    with answering(answer) as url, pytest.raises(TimeoutError):
        post(url, b"{}", {}, LOOPBACK, seconds=0.5)  # of answers that never end


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x00\x01\x02\n",
        b"HTTP/1.1 999 x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"",
        b"HTTP/1.1 200",
    ],
)
def test_an_answer_that_is_not_http(answer: bytes) -> None:
    def say(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    with answering(say) as url, pytest.raises(BadAnswer):
        post(url, b"{}", {}, LOOPBACK, seconds=PATIENCE)


def test_an_endless_head_is_cut_off() -> None:
    def say(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x" * 65_536)

    with answering(say) as url, pytest.raises((BadAnswer, ConnectionError)):
        post(url, b"{}", {}, LOOPBACK, seconds=PATIENCE)


def test_a_provisional_answer_is_passed_over() -> None:
    def say(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\n\r\n"
        )

    with answering(say) as url:
        assert post(url, b"{}", {}, LOOPBACK, seconds=PATIENCE) == 201


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        post(f"http://127.0.0.1:{port}/", b"{}", {}, LOOPBACK, seconds=3)
    with pytest.raises(OSError, match=r"[Nn]ame|address"):
        post("https://no-such-host.invalid/", b"{}", {}, Policy(), seconds=3)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_https_checks_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -addext"
    subprocess.run(
        [*command.split(), "subjectAltName=DNS:shop.example", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    client_side = ssl.create_default_context(cafile=str(certificate))
    resolving_to(monkeypatch, "127.0.0.1")

    def say(connection: socket.socket) -> None:
        with server_side.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65_536)
            secure.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    def call(name: str, context: ssl.SSLContext | None) -> int:
        with answering(say) as url:
            port = url.rpartition(":")[2]
            return post(
                f"https://{name}:{port}", b"{}", {}, LOOPBACK, seconds=PATIENCE, context=context
            )

    assert call("shop.example", client_side) == 200
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname"):
        call("other.example", client_side)
    with pytest.raises(ssl.SSLCertVerificationError):
        call("shop.example", None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "https://a@example.com/",
        "https://a:b@example.com/",
        "https://example.com#x",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://exa mple.com/",
        "https://example.com/\r\nX: y",
        "https://example.com/\x00",
        "https://exämple.com/",
        "https://example.com\\@10.0.0.1/",
        "https://exa%6dple.com/",
        "https://{{7*7}}.example.com/",
        "https://[::1/",
        "https://example.com/" + "x" * 2000,
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"^callback: "):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "HTTPS://Example.com/",
        "https://example.com:8443/a/b?c=d&e=%20",
        "http://10.0.0.1/",
        "https://[2606:4700::1111]:8443/x",
        "https://my_host.internal/",
    ],
)
def test_urls(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.com", "10.0.0.0/99", "*"])
def test_networks_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^X: want addresses or networks"):
        Policy.parse(text, "X")


def test_a_name_that_is_not_answered_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`getaddrinfo` has no time limit; ours has, and a name that is found later is of no use."""
    answered = threading.Event()

    def resolve(*_: Any, **__: Any) -> Any:
        answered.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        with pytest.raises(TimeoutError, match="not found in time"):
            post("https://example.com/", b"{}", {}, Policy(), seconds=0.1)
    finally:
        answered.set()
