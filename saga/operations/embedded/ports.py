"""Free TCP ports on the loopback interface."""

import random
import socket
from collections.abc import Callable
from typing import Protocol

from saga.operations.embedded.errors import EmbeddedError

LOOPBACK = "127.0.0.1"

# Below what Linux and macOS hand out as source ports. A client that keeps trying to reach a server
# that is down would else sooner or later be given the server's own port, and so take it away.
_RANGE = (20_000, 32_000)
_TRIES = 200
_STARTS = 5
_chance = random.SystemRandom()


def free_port() -> int:
    """A port on which nothing listens now; someone else may still be quicker."""
    for _ in range(_TRIES):
        port = _chance.randint(*_RANGE)
        if is_free(port):
            return port
    raise OSError(f"no free port found in {_RANGE} on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class Movable(Protocol):
    """A server that may have another port."""

    port: int


def start_somewhere(server: Movable, start: Callable[[], None]) -> None:
    """Starts a server; at another port if somebody was quicker at the one that it has."""
    for _ in range(_STARTS - 1):
        try:
            start()
        except EmbeddedError:
            if is_free(server.port):
                raise  # for another reason
            server.port = free_port()
        else:
            return
    start()
