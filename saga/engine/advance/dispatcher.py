"""Where a step that is asked for goes: to a thread of this process, or out by a wake-up."""

from saga.engine.advance.request import Request
from saga.engine.advance.turn import Turn
from saga.engine.attempt.catalog import Catalog
from saga.engine.attempt.work import Work
from saga.wakeups.message import WakeUp

REISSUE_IN = 2.0  # seconds until the sweeper takes a wake-up for lost, the first time
CHILD_CHECK_IN = 1.0


class Dispatcher:
    """Knows what this process can run, and for which queues."""

    def __init__(self, catalog: Catalog, serves: frozenset[str]) -> None:
        self._catalog = catalog
        self._serves = serves

    def serves(self, queue: str) -> bool:
        return queue in self._serves

    def dispatch(self, turn: Turn, slots: list[Request], work: Work) -> tuple[str, float | None]:
        """To a thread of this batch, or by a wake-up. Returns state and due_in."""
        here = slots and work.queue in self._serves
        if here and self._catalog.can_run(work.name, work.key.undo):
            turn.grants.append((slots.pop(), work))
            return "running", self._catalog.limit(work.name, work.key.undo)
        turn.wakeups.append(WakeUp.for_step(work.queue, work.name, work.key))
        return "ready", REISSUE_IN
