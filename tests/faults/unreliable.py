"""A broker that delivers three times, out of order, or not at all.

An environment variable arms it in a process.
"""

import os
import random
import threading
from collections.abc import Iterable, Sequence
from uuid import UUID

from saga.wakeups.message import WakeUp
from saga.wakeups.publisher import RedisPublisher

VARIABLE = "FAULTS_MESSAGES"
"""`copies:share of them that is dropped:seed`"""


class Mangler:
    """What happens to wake-ups on their way: copied, lost, shuffled, kept for a later batch."""

    def __init__(self, spec: str) -> None:
        copies, dropped, seed = spec.split(":")
        self._copies = int(copies)
        self._dropped = float(dropped)
        self._random = random.Random(f"{seed} {os.getpid()}")
        self._late: list[WakeUp] = []
        self._lock = threading.Lock()

    def mangle(self, wakeups: Iterable[WakeUp]) -> list[WakeUp]:
        """What arrives instead of these, now."""
        with self._lock:
            copies = [wakeup for wakeup in wakeups for _ in range(self._copies)]
            now = self._late + [w for w in copies if self._random.random() >= self._dropped]
            self._random.shuffle(now)
            late = self._random.randrange(len(now) // 2 + 1)
            self._late, now = now[:late], now[late:]
            return now


def install() -> None:
    """Mangles all that this process publishes, if it is to."""
    spec = os.environ.get(VARIABLE)
    if not spec:
        return
    mangler = Mangler(spec)
    publish = RedisPublisher.publish

    def mangled(
        self: RedisPublisher, wakeups: Iterable[WakeUp], ended: Sequence[UUID] = ()
    ) -> None:
        asked = list(wakeups)
        sent = mangler.mangle(asked)
        print(f"mangled: {len(asked)} into {len(sent)}", flush=True)  # noqa: T201 - read by tests
        publish(self, sent, ended)

    RedisPublisher.publish = mangled  # type: ignore[method-assign]
