"""A worker process in the database's eyes: its id, its lease and its clock.

Three things tell a live worker from a dead one. Its lease is renewed in one statement for all its
steps. Its presence connection holds an advisory lock that Postgres lets go of the moment the
process dies, so a killed worker is noticed in one to three seconds, long before the lease ends. And
a process that was taken for dead (it was stopped, or cut off) finds its row ended, or is refused by
the statements that would grant it a step: it takes a new id, and everything it holds is no longer
its own.
"""

import logging
import math
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence

import psycopg

from saga.failpoint import failpoint
from saga.storage import workers
from saga.storage.connect import connect
from saga.wakeups.bell import Bell
from saga.wakeups.message import handover_queue

log = logging.getLogger("saga.presence")


class Presence:
    """Keeps this process's lease. `on_lost`: it was taken for dead; `on_tick`: at each renewal."""

    def __init__(
        self,
        database_url: str,
        queues: frozenset[str],
        *,
        code: Sequence[str] = (),
        lease: float = 10.0,
        renew_every: float = 1.0,
        on_lost: Callable[[], None] = lambda: None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = database_url
        self._queues = sorted(queues)
        self._code = code
        self._lease = lease
        self._every = renew_every
        self._on_lost = on_lost
        self._on_tick = on_tick
        self._connection: psycopg.Connection | None = None
        self._id: int | None = None
        self._ahead = 0.0  # database clock minus our monotonic clock
        self._holds = False  # the presence lock
        self._bell = Bell()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.renewed_at = 0.0  # monotonic

    @property
    def worker_id(self) -> int:
        if self._id is None:
            raise RuntimeError("the worker has no lease yet")
        return self._id

    @property
    def is_held(self) -> bool:
        """Whether nobody may have taken this worker for dead yet."""
        return time.monotonic() - self.renewed_at < self._lease

    def refused(self, worker_id: int) -> bool:
        """The database grants this worker nothing more; from any thread. It announces itself anew,
        and takes up nothing before. False: it stops, and will not.
        """
        if worker_id == self._id:
            self.renewed_at = -math.inf
            self._bell.ring()
        return not self._stopping.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether the thread that renews the lease exists, or is not to exist."""
        return self._thread is None or self._thread.is_alive() or self._stopping.is_set()

    def now(self) -> float:
        """The database's clock, epoch seconds, never behind it, without this machine's."""
        return time.monotonic() + self._ahead

    def start(self) -> None:
        """Registers, then renews from a thread of its own. Raises if the database is away."""
        self._register()
        self._thread = threading.Thread(target=self._run, name="saga-presence", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the lease at once, so that others need not wait for it."""
        self._stopping.set()
        self._bell.ring()
        if self._thread is not None:
            self._thread.join(timeout=5)
        try:
            if self._id is not None and self._connection is not None:
                workers.end(self._connection, self._id, "stopped")
        except psycopg.Error as error:
            log.warning("worker %s could not sign off: %s", self._id, type(error).__name__)
        finally:
            self._disconnect()
            if self._thread is None or not self._thread.is_alive():
                self._bell.close()

    def _run(self) -> None:
        """A worker without this thread would go on, and lose whatever it does: it must not end."""
        while not self._stopping.is_set():
            try:
                self._keep()
            except Exception:
                log.exception("the renewal of the lease broke down and starts anew")

    def _keep(self) -> None:
        pause = self._every
        while not self._stopping.is_set():
            try:
                # A connection that is cut says so at once, long before its renewal is due.
                self._bell.wait(self._connection, pause * (0.9 + 0.2 * random.random()))
                failpoint("P17")
                self._renew()
                pause = self._every
                self._on_tick()
            except psycopg.Error as error:
                log.warning("lease not renewed: %s", type(error).__name__)
                self._disconnect()
                pause = 0.2

    def _renew(self) -> None:
        """After a lost connection: the same worker, if nobody has taken it for dead meanwhile."""
        if self._connection is None:
            self._connection, self._holds = connect(self._url, "saga presence"), False
        before = time.monotonic()
        now = workers.renew(self._connection, self.worker_id, self._lease)
        if now is None:
            log.warning("worker %s was taken for dead: its steps are no longer its own", self._id)
            self._on_lost()
            self._disconnect()
            self._register()
            return
        self._take_time(before, now)
        self._holds = self._holds or workers.hold(self._connection, self.worker_id)

    def _take_time(self, before: float, now: float) -> None:
        """The database's clock said `now` after `before`, so we are never behind it."""
        self.renewed_at = before
        self._ahead = now - before

    def _register(self) -> None:
        self._connection = connect(self._url, "saga presence")
        host, pid = socket.gethostname(), os.getpid()
        before = time.monotonic()
        self._id, now = workers.register(
            self._connection,
            f"{host}:{pid}",
            host,
            pid,
            self._queues,
            self._lease,
            self._code,
            handover_queue(self._code, self._queues),
        )
        self._holds = True
        self._take_time(before, now)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
