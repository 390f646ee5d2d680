"""Steps that commit the user's writes with their outcome: exactly once, for this database."""

import logging
from typing import Any

import psycopg

from saga.engine.attempt.attempt import Attempts
from saga.engine.attempt.work import Outcome, Work
from saga.failpoint import failpoint
from saga.storage.connect import lock_saga
from saga.storage.hot.rows import Move
from saga.storage.hot.store import Store
from saga.storage.urls import libpq_url

log = logging.getLogger("saga.step")


class _RolledBack(Exception):
    """The attempt did not succeed: none of its writes may stay."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Transactions:
    """Runs transactional attempts, each on a connection of its own from a small pool."""

    def __init__(self, database_url: str, attempts: Attempts) -> None:
        self.database_url = database_url
        self._attempts = attempts
        self._pool: Any = None

    def run(self, work: Work) -> Outcome | None:
        """None when committed with the user's writes; else the outcome, and nothing was written."""
        try:
            with self._connection() as connection:
                with connection.transaction():
                    self._attempt(work, connection)
                failpoint("P9", connection)
        except _RolledBack as rolled_back:
            return rolled_back.outcome
        except psycopg.Error as error:
            return self._after_error(work, error)
        return None

    def _attempt(self, work: Work, connection: psycopg.Connection) -> None:
        outcome = self._attempts.run(work, connection)
        if outcome.state != "succeeded":
            raise _RolledBack(without_doubt(outcome))
        lock_saga(connection, work.key.saga_id)
        move = Move(
            work.key,
            "running",
            "succeeded",
            work.attempt,
            outcome.result,
            in_doubt=False,
            is_event=True,
        )
        if not Store(connection).record([move]):
            raise _RolledBack(
                Outcome("unknown", in_doubt=False, retry_in=0.0, reason="the lease was lost")
            )
        failpoint("P8")

    def _after_error(self, work: Work, error: psycopg.Error) -> Outcome | None:
        """An exception does not tell whether COMMIT succeeded; the row does."""
        log.warning("transactional %s: %s", work.intent.name, type(error).__name__)
        while True:
            try:
                with self._connection() as connection:
                    state = Store(connection).states([work.key]).get(work.key)
                break
            except psycopg.OperationalError:
                self._reconnect()
        if state == ("succeeded", work.attempt):
            return None
        # Postgres going away, or a conflict with others, is nothing that the step has done.
        is_no_fault_of_its = isinstance(error, psycopg.OperationalError)
        return self._attempts.rolled_back(work, error, always_retried=is_no_fault_of_its)

    def _connection(self) -> Any:
        if self._pool is None:
            from psycopg_pool import ConnectionPool

            self._pool = ConnectionPool(
                libpq_url(self.database_url),
                min_size=0,
                max_size=32,
                open=True,
                timeout=30,
                name="saga transactional",
            )
        return self._pool.connection()

    def _reconnect(self) -> None:
        if self._pool is not None:
            self._pool.check()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()


def without_doubt(outcome: Outcome) -> Outcome:
    """What was rolled back had no effect, whatever the exception looked like."""
    state = "retrying" if outcome.state == "unknown" else outcome.state
    return outcome._replace(state=state, in_doubt=False)
