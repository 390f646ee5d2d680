"""Which wake-ups the sweeper sends again: those that are not in the broker, for all it knows."""

import random
from collections.abc import Iterable

from saga.engine.wakeups import Publisher, WakeUp

_LONG = 4  # looks in vain, which take half a minute
_ALL_THE_SAME = 5  # a queue and round


def to_send(publisher: Publisher, due: Iterable[tuple[int, WakeUp]]) -> list[WakeUp]:
    """What to publish of the wake-ups that are due, each with how often it was due in vain.

    Those that nobody has sent (below zero), and those that must have been lost: fewer messages wait
    in the broker than are due. Before a backlog that does not end nobody can tell a lost one from
    those that wait: of what has been due for long, a few are sent all the same.
    """
    waiting: dict[str, int] = {}
    chosen: list[WakeUp] = []
    doubtful: dict[str, list[WakeUp]] = {}
    for wakes, wakeup in due:
        queue = wakeup.queue
        if wakes < 0:
            chosen.append(wakeup)
            continue
        if queue not in waiting:
            waiting[queue] = publisher.length(queue) or 0
        waiting[queue] -= 1
        if waiting[queue] < 0:
            chosen.append(wakeup)
        elif wakes >= _LONG:
            doubtful.setdefault(queue, []).append(wakeup)
    for some in doubtful.values():
        chosen += random.sample(some, min(len(some), _ALL_THE_SAME))
    return chosen
