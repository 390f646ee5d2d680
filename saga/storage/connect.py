"""Connections for the hot statements."""

from typing import Any, LiteralString
from uuid import UUID

import psycopg

from saga.storage.urls import libpq_url

# Every plan on the hot path is an index lookup per given row; the planner must never prefer a scan
# because a table was empty when it looked.
SETTINGS: LiteralString = """
SET plan_cache_mode = force_generic_plan; SET jit = off;
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SET statement_timeout = '15s'; SET lock_timeout = '5s';
SET idle_in_transaction_session_timeout = '60s'
"""
# Whoever stops in the middle of a transaction must not keep its sagas from all others for long.
_IMPATIENT: LiteralString = """
SET lock_timeout = '250ms'; SET idle_in_transaction_session_timeout = '10s'
"""

_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class _Undisturbed(psycopg.Connection[Any]):
    """Waits for the server without looking up ten times a second for a Ctrl-C, which only the main
    thread gets.
    """

    def wait(self, gen: Any, interval: float = 5.0, timeout: float | None = None) -> Any:
        return super().wait(gen, interval, timeout)


def connect(url: str, application: str, *, impatient: bool = False) -> psycopg.Connection:
    """An autocommitting connection for hot statements. The caller closes it.

    An `impatient` one fails with LockNotAvailable after a quarter of a second: a batch must not
    wait for the one saga whose row somebody holds. It is not for the main thread.
    """
    kind = _Undisturbed if impatient else psycopg.Connection
    connection = kind.connect(
        libpq_url(url), autocommit=True, application_name=application, **_OPTIONS
    )
    connection.prepare_threshold = 0
    connection.execute(SETTINGS, prepare=False)
    if impatient:
        connection.execute(_IMPATIENT, prepare=False)
    return connection


async def connect_async(url: str, application: str) -> psycopg.AsyncConnection:
    """The same for an event loop."""
    connection = await psycopg.AsyncConnection.connect(
        libpq_url(url), autocommit=True, application_name=application, **_OPTIONS
    )
    connection.prepare_threshold = 0
    await connection.execute(SETTINGS, prepare=False)
    return connection


def is_lost(error: psycopg.Error, connection: psycopg.Connection | None) -> bool:
    """Whether the connection is gone, and not only what was asked on it refused.

    An OperationalError says either: a statement that was too large or took too long is one, too.
    """
    if connection is None or connection.closed or connection.broken:
        return True
    state = error.sqlstate
    if not isinstance(error, psycopg.OperationalError) or state == _CANCELLED:
        return False
    return state is None or state.startswith(("08", "57"))


def is_fault_of_one(error: psycopg.OperationalError) -> bool:
    """Whether Postgres refuses this very statement, as too large or too long, and no other."""
    state = error.sqlstate or ""
    return state.startswith(("54", "22")) or state in (_CANCELLED, _OUT_OF_MEMORY)


_CANCELLED, _OUT_OF_MEMORY = "57014", "53200"


# Whoever stops in here must not keep the saga from all others: the server ends the transaction.
_LOCK: LiteralString = """
SELECT set_config('idle_in_transaction_session_timeout', '5s', true)
  FROM saga.saga WHERE id = %s FOR UPDATE
"""


def lock_saga(connection: psycopg.Connection, saga_id: UUID) -> None:
    """Waits for the saga's row: a user's transaction rather waits than is refused as busy."""
    connection.execute(_LOCK, (saga_id,))
