"""What a client reads: lists, counts, one saga with all its steps, its history.

SQLAlchemy is loaded at the first of them: a process that only starts sagas does without.
"""

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from saga.core.saga_filter import SagaFilter
from saga.errors import SagaNotFound

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from saga.client.why_not import Answer
    from saga.storage.queries import Count, Cursor, Page, SagaDetail, SagaRow, Transition

T = TypeVar("T")

_MOST = 5  # connections


class Reading:
    """Safe for threads; after a fork each process opens its own connections."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def rows(
        self, wanted: SagaFilter | None, limit: int, after: "Cursor | str | None"
    ) -> "Page[SagaRow]":
        from saga.storage import queries

        start = queries.Cursor.parse(after) if isinstance(after, str) else after
        return self._read(lambda c: queries.list_sagas(c, wanted, limit=limit, after=start))

    def counts(self, wanted: SagaFilter | None, by: Sequence[str]) -> "tuple[Count, ...]":
        from saga.storage import queries

        return self._read(lambda c: queries.stats(c, wanted, by))

    def detail(self, saga: UUID | str) -> "SagaDetail":
        from saga.storage import queries

        return self._read(lambda c: queries.detail(c, _found(c, saga)))

    def why(self, saga: UUID | str) -> "Answer":
        from saga.client.why_not import why_not
        from saga.storage import queries

        return why_not(self._read(lambda c: queries.standstill(c, _found(c, saga))))

    def history(self, saga: UUID | str, after: int, limit: int | None) -> "tuple[Transition, ...]":
        from saga.storage import queries

        def look(connection: "Connection") -> "tuple[Transition, ...]":
            saga_id = _found(connection, saga)
            rows = queries.history(connection, saga_id, after=after, limit=limit)
            if not rows and not after:
                raise SagaNotFound(f"there is no saga {saga_id}")
            return rows

        return self._read(look)

    def close(self) -> None:
        """Closes what is open; more can be opened."""
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()

    def _read(self, work: "Callable[[Connection], T]") -> T:
        from saga.storage import queries

        with queries.snapshot(self._opened()) as connection:
            return work(connection)

    def _opened(self) -> "Engine":
        if self._pid != os.getpid():
            if self._engine is not None:
                self._engine.dispose(close=False)
            self._pid, self._engine, self._lock = os.getpid(), None, threading.Lock()
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def _open(self) -> "Engine":
        from saga.storage import queries

        return queries.reader(self._url, pool_size=_MOST)


def _found(connection: Any, saga: UUID | str) -> UUID:
    from saga.storage import queries

    return saga if isinstance(saga, UUID) else queries.find_saga(connection, saga)
