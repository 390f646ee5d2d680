"""One POST to a URL that somebody else chose.

Its host is resolved once, every address is checked, and the connection goes to the checked address:
what a name means a moment later plays no part. Redirects are not followed, and of the answer only
the status is read, all of it within one deadline.
"""

import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from saga.engine.callbacks.names import look_up
from saga.errors import InvalidInput

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r]")
_MOST = 65_536  # bytes of an answer's head
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


class Refused(Exception):
    """The address may not be called."""


class BadAnswer(Exception):
    """What answered does not speak HTTP."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which addresses may be called: public ones by https, and those in `allowed` in any way."""

    allowed: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str, field: str = "allowed") -> "Policy":
        """Addresses and networks parted by commas; raises InvalidInput."""
        try:
            return cls(tuple(ipaddress.ip_network(p.strip()) for p in text.split(",") if p.strip()))
        except ValueError as error:
            raise InvalidInput(
                f"{field}: want addresses or networks like 10.0.0.0/8: {error}"
            ) from None

    def check(self, address: Address, scheme: str) -> None:
        """Raises Refused."""
        if any(address in network for network in self.allowed):
            return
        if not is_public(address):
            raise Refused(f"{address} is not a public address")
        if scheme != "https":
            raise Refused("public addresses are called by https only")


def is_public(address: Address) -> bool:
    """Whether an address is anyone's on the Internet, whatever it is wrapped in."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _wrapped(address)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    policy: Policy,
    *,
    seconds: float = 10.0,
    context: ssl.SSLContext | None = None,
) -> int:
    """The status of the answer. Raises Refused, BadAnswer or OSError."""
    deadline = time.monotonic() + seconds
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    addresses = _addresses(look_up(host, port, _left(deadline)), policy, parts.scheme)
    with _connected(addresses, port, deadline) as plain:
        if parts.scheme != "https":
            return _exchange(plain, parts, body, headers, deadline)
        tls = context or ssl.create_default_context()
        plain.settimeout(_left(deadline))
        with tls.wrap_socket(plain, server_hostname=host) as secure:
            return _exchange(secure, parts, body, headers, deadline)


def _addresses(found: Sequence[Any], policy: Policy, scheme: str) -> list[Address]:
    addresses = [ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in found]
    for address in addresses:
        policy.check(address, scheme)
    return list(dict.fromkeys(addresses))


def _connected(addresses: list[Address], port: int, deadline: float) -> socket.socket:
    """A connection to the first address that answers."""
    failure: OSError = OSError("the name has no address")
    for address in addresses:
        connection = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)
        try:
            connection.settimeout(_left(deadline))
            connection.connect((str(address), port))
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _exchange(
    connection: socket.socket,
    parts: SplitResult,
    body: bytes,
    headers: Mapping[str, str],
    deadline: float,
) -> int:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    left = memoryview("\r\n".join([*lines, "", ""]).encode() + body)
    while left:
        connection.settimeout(_left(deadline))
        left = left[connection.send(left) :]
    return _status(connection, deadline)


def _status(connection: socket.socket, deadline: float) -> int:
    """Of the first answer that is not merely provisional."""
    head = b""
    while len(head) < _MOST:
        connection.settimeout(_left(deadline))
        more = connection.recv(4096)
        head += more
        if b"\n" in head or not more:
            found = _STATUS.match(head)
            if found is None:
                raise BadAnswer("the answer is not HTTP")
            if not found[1].startswith(b"1"):
                return int(found[1])
            head = head.partition(b"\r\n\r\n")[2] if b"\r\n\r\n" in head else head
        if not more:
            break
    raise BadAnswer("the answer has no status")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
