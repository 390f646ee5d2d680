"""Where wake-ups go for which this worker has not the code: to workers that have it."""

import logging
import time

from saga.engine.advance.shared_store import SharedStore
from saga.storage import workers

log = logging.getLogger("saga.wakeups")

_FRESH = 1.0  # seconds
_EVERY = 60.0  # seconds between two words about a queue


class Handover:
    """Asks the database at most once a second for each code. Safe for threads.

    A queue that workers with different code serve (two apps, or two versions in a deploy) gives
    each of them wake-ups for the others. Those with the same code and queues share a queue for
    these.
    """

    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared
        self._known: dict[tuple[str, str], tuple[float, str | None]] = {}
        self._quiet_until: dict[str, float] = {}

    def queue_of(self, queue: str, code: str) -> str | None:
        """The one of a worker that serves `queue` and has the code; None: there is none."""
        now = time.monotonic()
        until, found = self._known.get((queue, code), (0.0, None))
        if now >= until:
            found = self._shared.call(
                lambda store: workers.handover_of(store.connection, queue, code)
            )
            self._known[queue, code] = now + _FRESH, found
        if found is not None and now >= self._quiet_until.get(queue, 0.0):
            self._quiet_until[queue] = now + _EVERY
            log.warning(
                "wake-ups for %s come to queue %r, which this worker serves without that code; they"
                " are handed over to one that has it: give the sagas and steps of each app a queue="
                " of their own",
                code,
                queue,
            )
        return found
