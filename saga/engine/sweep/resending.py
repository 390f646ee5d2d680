"""Which wake-ups are sent again: those that must have been lost, or that nobody has sent."""

import random
from collections.abc import Mapping, Sequence

from saga.storage import workers
from saga.storage.hot.store import Store
from saga.wakeups.message import Publisher, WakeUp

_LONG = 4  # looks in vain, which take half a minute
_ALL_THE_SAME = 5  # a queue and round


class Resending:
    """Remembers the queues whose messages may be all that are due, or not."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._doubtful: set[str] = set()

    @property
    def doubts_some(self) -> bool:
        return bool(self._doubtful)

    def drained(self, store: Store) -> list[str]:
        """Of those queues, the ones that are empty: what still waits for them is lost, but for what
        workers have just taken.
        """
        if not self._doubtful:
            return []
        handovers = workers.handovers(store.connection)
        drained = [q for q in self._doubtful if self._length(q, handovers) == 0]
        self._doubtful.difference_update(drained)
        return drained

    def _length(self, queue: str, handovers: Mapping[str, Sequence[str]]) -> int | None:
        """Messages that wait for the queue's workers, whichever; None when nobody can say."""
        lengths = [self._publisher.length(one) for one in (queue, *handovers.get(queue, ()))]
        return None if None in lengths else sum(filter(None, lengths))

    def chosen(self, due: Sequence[tuple[int, WakeUp]], store: Store) -> list[WakeUp]:
        """What to publish of the wake-ups that are due, each with how often it was due in vain.

        Those that nobody has sent (below zero), and those that must have been lost: fewer messages
        wait in the broker than are due. Of what has been due for long before a backlog that does
        not end, a few are sent all the same.
        """
        handovers = workers.handovers(store.connection) if due else {}
        waiting: dict[str, int] = {}
        chosen: list[WakeUp] = []
        long_due: dict[str, list[WakeUp]] = {}
        for wakes, wakeup in due:
            queue = wakeup.queue
            if wakes < 0:
                chosen.append(wakeup)
                continue
            if queue not in waiting:
                waiting[queue] = self._length(queue, handovers) or 0
            waiting[queue] -= 1
            if waiting[queue] < 0:
                chosen.append(wakeup)
                continue
            self._doubtful.add(queue)
            if wakes >= _LONG:
                long_due.setdefault(queue, []).append(wakeup)
        for some in long_due.values():
            chosen += random.sample(some, min(len(some), _ALL_THE_SAME))
        return chosen
