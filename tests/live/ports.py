"""Ports for servers that a test starts later, and that cannot choose another."""

import random
import socket

from saga.operations.embedded.ports import LOOPBACK, is_free

_RANGE = range(10_000, 20_000)
"""Below those of `free_port`, which the servers of other tests take meanwhile."""
_TRIES = 200


def kept_port() -> int:
    """A port on which nothing listens now. Nobody else who asks here is given it, in whatever
    process, until this process ends.
    """
    for port in random.SystemRandom().sample(_RANGE, _TRIES):
        # UDP has ports of its own: this one is in no server's way, and says who has the number.
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((LOOPBACK, port))
        except OSError:
            claim.close()
            continue
        if is_free(port):
            claim.detach()
            return port
        claim.close()
    raise OSError(f"no free port found in {_RANGE} on {LOOPBACK}")
