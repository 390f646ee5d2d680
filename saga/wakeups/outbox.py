"""Wake-ups that a batch leaves behind, sent when others may already have the next one."""

import threading
from collections.abc import Iterable, Sequence
from uuid import UUID

from saga.failpoint import failpoint
from saga.wakeups.message import Publisher, WakeUp


class Outbox:
    """Keeps what is published until it is told to send.

    A broker that hangs so holds up the one thread that sends, and not all that wait for their
    batch. What a crash leaves in here is sent by the sweeper.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._lock = threading.Lock()
        self._wakeups: list[WakeUp] = []
        self._ended: list[UUID] = []

    def publish(self, wakeups: Iterable[WakeUp], ended: Sequence[UUID] = ()) -> None:
        """Keeps them."""
        with self._lock:
            self._wakeups += wakeups
            self._ended += ended

    def send(self) -> None:
        """Sends all, in one go."""
        with self._lock:
            wakeups, self._wakeups = self._wakeups, []
            ended, self._ended = self._ended, []
        failpoint("P3")
        self._publisher.publish(wakeups, ended)
        failpoint("P4")
