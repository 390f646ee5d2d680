"""How many more tasks this worker could start now."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# Celery has no types.

from collections.abc import Callable

from celery.worker import state


class Slots:
    """The free slots of this process.

    `limit` says how many there are; a process that is no worker has no limit, and takes one message
    at a time.
    """

    def __init__(self) -> None:
        self.limit: Callable[[], int] | None = None
        self.are_closed = False
        self.is_awaited = True
        """Whether the event loop may be waiting for a slot. Only `may_take` can tell that it is
        not: with another transport it always may.
        """

    def open(self, limit: Callable[[], int]) -> None:
        """For a worker that begins."""
        self.limit, self.are_closed = limit, False

    def close(self) -> None:
        """For one that stops: none is free any more. Signal handlers may call it."""
        self.limit, self.are_closed = (lambda: 0), True

    @property
    def free(self) -> int:
        return 0 if self.limit is None else self.limit() - len(state.reserved_requests)

    def may_take(self) -> bool:
        """Whether a slot is free. It is awaited before it looks: who frees one sees that."""
        if self.limit is None:
            return True
        self.is_awaited = True
        self.is_awaited = self.free <= 0
        return not self.is_awaited


slots = Slots()
"""Those of this process."""
