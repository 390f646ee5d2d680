"""The sweeper: whatever is due and nobody came for. One leads, by advisory lock; all workers stand
by.

It makes retries ready, fires timers and deadlines, takes steps from dead workers, and sends lost
wake-ups again. A crash between any two lines repeats work that is guarded by the steps' states.
"""

import logging
import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import psycopg

from saga.engine.callbacks.courier import CallbackSettings, Courier
from saga.engine.sweep.announcing import Announcer
from saga.engine.sweep.dead_workers import DeadWorkers
from saga.engine.sweep.overdue import Overdue
from saga.storage import due, workers
from saga.storage.connect import connect
from saga.storage.due import Outlook
from saga.storage.hot.store import Store
from saga.wakeups.bell import BUSY, IDLE, Bell
from saga.wakeups.message import Publisher

log = logging.getLogger("saga.sweeper")

_SOONEST = 0.02  # seconds between two rounds, unless there is more than one can take
_STANDBY = 5.0  # seconds; the statement has a limit of its own
_STOP_WITHIN = 10.0  # seconds
_COURIER_BUSY = 1.0  # seconds until a callback of another host's is looked for


class Sweeper:
    """Sweeps from a thread of its own, every `interval` seconds or sooner when something is due
    sooner; less often when nothing is due soon, and least when no worker holds a step either.

    A leader that asks nothing of the database for `patience` seconds is unseated by the next one.
    Whether it leads or not, it says that the sagas in `announced` (name, version) can run here.
    """

    def __init__(
        self,
        database_url: str,
        publisher: Publisher,
        *,
        interval: float = BUSY,
        suspicion: float = 0.6,
        patience: float = 5.0,
        callbacks: CallbackSettings | None = None,
        announced: Sequence[tuple[str, int]] = (),
    ) -> None:
        self._url = database_url
        self._publisher = publisher
        self._interval = interval
        self._calm_interval = max(interval, min(IDLE / 2, patience / 4))
        self._idle_interval = max(interval, min(IDLE, patience / 2.5))
        self._patience = patience
        self._store: Store | None = None
        self._leads = False
        self._stands_by = False  # right now, in the server
        self._busy_until = 0.0  # monotonic: whoever told of something tells of no more until then
        self._dead_workers = DeadWorkers(publisher, suspicion)
        self._overdue = Overdue(publisher)
        self._bell = Bell()
        self._courier = Courier(database_url, callbacks or CallbackSettings(), self._bell.ring)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._announcer = Announcer(announced)
        self.round_at = time.monotonic()  # when the last round began

    @property
    def is_alive(self) -> bool:
        """Whether its thread exists, or is not to exist."""
        return self._thread is None or self._thread.is_alive() or self._stopping.is_set()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="saga-sweeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._bell.ring()
        until = time.monotonic() + _STOP_WITHIN
        while self._thread and self._thread.is_alive() and time.monotonic() < until:
            self._stand_down()
            self._thread.join(timeout=0.2)
        self._courier.close()
        is_over = self._thread is None or not self._thread.is_alive()
        if self._store is not None and is_over:
            self._announcer.end(self._store.connection)
        self._disconnect()
        if is_over:
            self._bell.close()

    def _stand_down(self) -> None:
        """Ends the wait for the lead."""
        store = self._store
        if self._stands_by and store is not None:
            with suppress(psycopg.Error):
                store.connection.cancel_safe(timeout=1.0)

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            self.round_at = time.monotonic()
            try:
                self.rest(pause)
                pause = self.sweep()
            except psycopg.Error as error:
                if self._stopping.is_set():
                    return
                log.warning("sweep: %s", error)
                self._disconnect()
                pause = 0.3 + 0.4 * random.random()
            except Exception:
                log.exception("sweep")
                pause = self._interval

    def _disconnect(self) -> None:
        self._leads = False
        self._dead_workers.forget()
        if self._store is not None:
            self._store.connection.close()
            self._store = None

    def rest(self, seconds: float) -> None:
        """Until something is heard, but no longer."""
        if self._bell.wait(self._store and self._store.connection, seconds):
            self._stay_busy()

    def _stay_busy(self) -> None:
        """Looks often for a while, whatever it finds: see `Ringer`."""
        self._busy_until = time.monotonic() + 2 * BUSY

    def sweep(self) -> float:
        """One round, if this one leads. Returns the seconds until the next."""
        if self._store is None:
            self._store = Store(connect(self._url, "saga sweeper", impatient=True))
        store = self._store
        self._announcer.say(store.connection)
        if not self._leads and not self._take_the_lead(store):
            return 0.0
        self._dead_workers.bury(store)
        self._check_broker(store)
        self._overdue.expedite_lost(store)
        outlook = due.outlook(store.connection)
        if _has_come(outlook.step) or _has_come(outlook.saga):
            if self._overdue.sweep(store):
                return 0.0
            outlook = due.outlook(store.connection)
        return self._pause(store, outlook)

    def _take_the_lead(self, store: Store) -> bool:
        """Waits for it; on the way, unseats a leader that has fallen silent."""
        self._stands_by = True
        try:
            self._leads = workers.lead(store.connection, min(self._patience / 2, _STANDBY))
        finally:
            self._stands_by = False
        if self._leads:
            self._bell.listen(store.connection)
            self._stay_busy()  # another may just have been told of something
        elif workers.unseat(store.connection, self._patience):
            log.warning("the sweepers' leader is silent and was unseated")
        else:
            workers.move_lead(store.connection)
        return self._leads

    def _check_broker(self, store: Store) -> None:
        if not self._publisher.intact():
            log.info("the broker is new or has lost its content: all wake-ups are sent again")
            due.expedite(store.connection)

    def _pause(self, store: Store, outlook: Outlook) -> float:
        """Until the next thing is due; collects callbacks that are."""
        planned = [t for t in (outlook.step, outlook.saga) if t is not None]
        planned.append(self._look_again_in(planned, outlook.is_leased))
        if outlook.callback is not None and not self._courier.is_free:
            planned.append(_COURIER_BUSY)
        elif outlook.callback is not None:
            if outlook.callback <= 0:
                self._courier.collect(store.connection)
            planned.append(outlook.callback)
        return max(_SOONEST, min(planned))

    def _look_again_in(self, planned: Sequence[float], is_leased: bool) -> float:
        """Seconds. A worker that dies is noticed no sooner."""
        soon = IDLE + self._interval  # the clock of who told of it may be a little ahead
        suspects = self._dead_workers.suspects_some or self._overdue.suspects_some
        if (
            suspects
            or time.monotonic() < self._busy_until
            or any(seconds <= soon for seconds in planned)
        ):
            return self._interval
        return self._calm_interval if is_leased else self._idle_interval


def _has_come(seconds: float | None) -> bool:
    return seconds is not None and seconds <= 0
