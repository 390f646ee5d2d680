"""The steps of dead workers: found, taken from them, and woken up elsewhere."""

import logging
import time

from saga.engine.sweep.counters import COUNTERS
from saga.engine.sweep.overdue import unknown, wakeup_of
from saga.storage import due, workers
from saga.storage.due import DueStep
from saga.storage.hot.store import Store
from saga.storage.turning import stuck
from saga.wakeups.message import Publisher

log = logging.getLogger("saga.sweeper")

_BATCH = 500
# Messages that a worker has taken and not begun with, at most, unless it has more slots; they were
# the oldest of their queues.
_IN_ITS_HANDS = 64
_EVERY = 0.25  # seconds
_TAKEN_OVER = "the worker is gone"


class DeadWorkers:
    """A worker without its presence lock is dead when it was not seen for `suspicion` seconds."""

    def __init__(self, publisher: Publisher, suspicion: float) -> None:
        self._publisher = publisher
        self._suspicion = suspicion
        # worker: (last seen by the database, first noticed)
        self._suspects: dict[int, tuple[float, float]] = {}
        self._looked = 0.0

    @property
    def suspects_some(self) -> bool:
        return bool(self._suspects)

    def forget(self) -> None:
        """What was noticed: another leader may have buried them meanwhile."""
        self._suspects.clear()

    def bury(self, store: Store) -> None:
        """Takes the steps of workers that are dead or out of their lease."""
        now = time.monotonic()
        if now - self._looked < _EVERY:
            return
        self._looked = now
        lost, silent = workers.missing(store.connection)
        dead = lost | self._confirmed_dead(silent, now)
        for worker_id in dead:
            queues = workers.end(store.connection, worker_id, "taken for dead")
            if queues is not None:
                log.warning("worker %s is taken for dead", worker_id)
                due.expedite(store.connection, queues, _IN_ITS_HANDS)
                stuck.count_losses(store.connection, worker_id)
        while dead and self._take_over(store, sorted(dead)):
            pass

    def _confirmed_dead(self, silent: dict[int, float], now: float) -> set[int]:
        """Workers without their presence lock twice in a row, and not seen in between."""
        for gone in self._suspects.keys() - silent.keys():
            del self._suspects[gone]
        confirmed: set[int] = set()
        for worker_id, seen_at in silent.items():
            last_seen, noticed = self._suspects.setdefault(worker_id, (seen_at, now))
            if seen_at != last_seen:
                self._suspects[worker_id] = (seen_at, now)
            elif now - noticed >= self._suspicion:
                confirmed.add(worker_id)
        return confirmed

    def _take_over(self, store: Store, dead: list[int]) -> bool:
        rows = workers.leases(store.connection, dead, _BATCH)
        steps = [
            DueStep(saga_id, position, undo, "step", name, queue, "running", attempt, "")
            for saga_id, position, undo, attempt, queue, name in rows
        ]
        moves = [unknown(step, _TAKEN_OVER, "lost") for step in steps]
        landed = store.record_each(moves) if moves else {}
        COUNTERS.takeovers += len(landed)
        self._publisher.publish(wakeup_of(step) for step in steps if step.key in landed)
        return len(rows) == _BATCH and bool(landed)
