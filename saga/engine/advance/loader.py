"""What the database knows of sagas beyond what this process has seen of them."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import psycopg

from saga.core.undo.plan import EVERYTHING
from saga.engine.advance.code_watch import CodeWatch
from saga.engine.advance.live import Live
from saga.engine.advance.shared_store import SharedStore
from saga.storage.hot.rows import Known, Loaded
from saga.storage.hot.store import Store

log = logging.getLogger("saga.wakeups")

T = TypeVar("T")

_EVERY = 60.0  # seconds


class UnknownSagas:
    """Says that they come, at most once a minute.

    Two installations that share a broker's database take each other's wake-ups: nothing is lost, as
    the sweeper sends them again, but everything is late, and nobody would know why.
    """

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def met(self, saga_id: UUID) -> None:
        """A wake-up came for this one."""
        now = time.monotonic()
        if now < self._quiet_until:
            return
        self._quiet_until = now + _EVERY
        log.warning(
            "a wake-up came for saga %s, which is not in this database: unless it was pruned,"
            " or lost with a failover, another installation uses the same broker database, and each"
            " takes the other's",
            saga_id,
        )


class Loader:
    """Reads sagas: small ones with those of other threads, large ones alone, so that nobody waits
    for them. Safe for threads.
    """

    def __init__(self, shared: SharedStore, connect: Callable[[], Store], watch: CodeWatch) -> None:
        self._shared = shared
        self._connect = connect
        self._watch = watch
        self.unknown_sagas = UnknownSagas()
        self._alone = threading.Lock()  # one large saga at a time is enough for one process
        self._store: Store | None = None

    def load(self, saga_id: UUID, live: Live | None) -> tuple[Live | None, Loaded | None]:
        """The saga with what is new; all of it where somebody has rewritten its journal."""
        loaded = self._load(live.known if live else Known(saga_id))
        if live is not None and loaded is not None and live.is_rewritten(loaded):
            self._watch.close(live)
            live, loaded = None, self._load(Known(saga_id))
        if loaded is None:
            self.unknown_sagas.met(saga_id)
            return None, None
        if live is None:
            return Live.of(loaded), loaded
        live.take(loaded)
        return live, loaded

    def load_rows(self, live: Live) -> None:
        """All steps of a saga, and what an operator chose of them."""
        if live.is_large:
            live.rows = self._apart(lambda store: store.stream_steps(live.saga_id))
        else:
            live.rows = self._shared.steps(live.saga_id)
        live.choice = EVERYTHING
        if live.undo_cause == "operator":
            live.choice = self._shared.call(lambda store: store.choice(live.saga_id))

    def _load(self, known: Known) -> Loaded | None:
        loaded = self._shared.load(known)
        if loaded is not None and loaded.is_large:
            return self._apart(lambda store: store.load_large(known))
        return loaded

    def _apart(self, read: Callable[[Store], T]) -> T:
        with self._alone:
            if self._store is None or self._store.connection.closed:
                self._store = self._connect()
            try:
                return read(self._store)
            except psycopg.Error:
                self._store.connection.close()
                raise

    def close(self) -> None:
        """Closes its own connection, if nobody reads; it can be used again."""
        if self._alone.acquire(blocking=False):
            if self._store is not None:
                self._store.connection.close()
            self._alone.release()
