"""What a worker does while its broker is away, full, read-only or silent: it asks Postgres itself
what there is to do, so that sagas go on, if not as fast.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# Celery has no types.

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol

import psycopg
from celery.worker import state

from saga.engine.worker.process import WorkerProcess
from saga.errors import Unavailable
from saga.execution.safe_transport import reading
from saga.execution.short_way import Taken
from saga.execution.slots import slots
from saga.execution.waiting_room import WaitingRoom
from saga.storage.connect import connect
from saga.storage.demand import Waiting, waiting
from saga.wakeups.broker import Broker
from saga.wakeups.message import ADVANCE, task_of

log = logging.getLogger("saga.wakeups")

_EVERY = 1.0  # seconds from one look at the broker to the next
_CALM = 0.5  # seconds until Postgres is asked again that had nothing
_SOON = 0.05
_LINGERS = 3.0  # seconds for which it asks on when all is well: what was not sent may wait long
_CHOICE = 4  # so many times as many are looked at as are taken: other workers take some, too


class Hands(Protocol):
    """Those of a process, which do what was found."""

    def reads(self) -> bool:
        """Whether it takes messages from the broker, as far as it can tell."""
        ...

    def free(self) -> int:
        """How much more it takes now."""
        ...

    def take(self, found: Waiting, work: Callable[[], None]) -> None: ...


class WithoutBroker:
    """Two threads of a worker process: one looks at the broker, and lets messages out that wait
    there; the other works while the first sees nothing good.
    """

    def __init__(
        self,
        broker: Broker,
        database_url: str,
        process: Callable[[], WorkerProcess],
        queues: Callable[[], Iterable[str]],
        hands: Hands,
        room: WaitingRoom | None = None,
    ) -> None:
        self._broker = broker
        self._url = database_url
        self._process = process
        self._queues = queues
        self._hands = hands
        self._room = room
        self._helps = threading.Event()
        self._found = 0
        self._well_since = 0.0  # monotonic
        self._stopping = threading.Event()
        self._in_hand: set[Waiting] = set()

    def start(self) -> None:
        for work in (self._look_after, self._help):
            threading.Thread(target=work, name="saga-without-broker", daemon=True).start()

    def stop(self) -> None:
        """Takes up nothing more; waits for nothing."""
        self._stopping.set()
        self._helps.set()

    # -- the first thread

    def _look_after(self) -> None:
        while not self._stopping.wait(_EVERY * (0.8 + 0.4 * random.random())):
            try:
                self._look()
            except Exception:
                log.exception("a look at the broker")

    def _look(self) -> None:
        now = time.monotonic()
        if not self._broker.takes_messages() or not self._hands.reads():
            if not self._helps.is_set():
                log.warning("the broker is away: this worker asks Postgres what there is to do")
            self._well_since = math.inf
            self._helps.set()
        elif self._helps.is_set():
            self._well_since = min(self._well_since, now)
            if now - self._well_since >= _LINGERS:
                self._helps.clear()
                log.warning("the broker is back")
        elif self._room is not None:
            with suppress(Unavailable):
                self._room.let_out()

    # -- the second

    def _help(self) -> None:
        connection: psycopg.Connection | None = None
        while not self._stopping.is_set():
            self._helps.wait()
            since = time.monotonic()
            try:
                connection = connection or connect(self._url, "saga without broker")
                self._found = self._find(connection)
            except psycopg.Error as error:
                log.warning("nobody says what there is to do: %s", type(error).__name__)
                if connection is not None:
                    connection.close()
                connection = None
            except Exception:
                log.exception("without the broker")
            is_busy = self._found and self._well_since == math.inf
            self._stopping.wait(max(_SOON, time.monotonic() - since) if is_busy else _CALM)
        if connection is not None:
            connection.close()

    def _find(self, connection: psycopg.Connection) -> int:
        """Takes what is there, as far as there are hands for it. How much there was."""
        free = self._hands.free()
        if free <= 0 or self._stopping.is_set():
            return 0
        process = self._process()
        most = len(self._in_hand) + _CHOICE * free
        catalog = process.catalog
        sagas = [(saga.name, saga.version) for saga in catalog.sagas()]
        queues = sorted(self._queues())  # as an operator has them now
        there = waiting(connection, queues, sorted(catalog.names()), sagas, most)
        found = [one for one in there if one not in self._in_hand]
        for one in random.sample(found, min(free, len(found))):
            self._in_hand.add(one)
            self._hands.take(one, partial(self._carry_out, process, one))
        return len(found)

    def _carry_out(self, process: WorkerProcess, one: Waiting) -> None:
        try:
            if one.step is None:
                process.advance(one.key.saga_id)
            else:
                process.run_step(one.step, one.key)
        except Exception:
            log.exception("%s of saga %s", one.step or "a decision", one.key.saga_id)
        except BaseException as error:  # of a step; the thread has more to do
            what = one.step or "a decision"
            log.warning("%s of saga %s: %s", what, one.key.saga_id, type(error).__name__)
        finally:
            self._in_hand.discard(one)


class PoolHands:
    """The threads of our own pool. What they do counts as what came by a message does."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker

    def reads(self) -> bool:
        return slots.free <= 0 or reading.goes_on

    def free(self) -> int:
        return slots.free

    def take(self, found: Waiting, work: Callable[[], None]) -> None:
        task = self._worker.app.tasks[ADVANCE if found.step is None else task_of(found.step)]
        identity = f"{found.key.saga_id}:{found.key.position}"
        message = SimpleNamespace(headers={"id": identity}, delivery_info={})
        taken = Taken(message, task, self._worker.hostname)
        state.reserved_requests.add(taken)
        self._worker.pool.take(partial(_count_out, taken, work))


def _count_out(taken: Taken, work: Callable[[], None]) -> None:
    state.active_requests.add(taken)
    try:
        work()
    finally:
        state.active_requests.discard(taken)
        state.reserved_requests.discard(taken)


class LoneHands:
    """Of a process that runs one step at a time, by a message or without."""

    def __init__(self, turn: threading.Lock) -> None:
        self._turn = turn

    def reads(self) -> bool:
        return self._turn.locked() or reading.goes_on

    def free(self) -> int:
        return 0 if self._turn.locked() else 1

    def take(self, found: Waiting, work: Callable[[], None]) -> None:
        del found
        with self._turn:
            work()


class NoHands:
    """Of a process whose children do the work."""

    def reads(self) -> bool:
        return True

    def free(self) -> int:
        return 0

    def take(self, found: Waiting, work: Callable[[], None]) -> None:
        raise NotImplementedError
