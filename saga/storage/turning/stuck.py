"""Sagas whose code does not come back: parked until somebody says that it is mended."""

from collections.abc import Sequence
from uuid import UUID

import psycopg

from saga.core.states import FORWARD, SagaStatus, sql
from saga.storage.turning.move_saga import move_saga, moved

MOST_LOSSES = 3
"""Workers that may be lost one after the other while a saga's code runs, before it is parked."""

_PARK = move_saga(
    SagaStatus.PARKED,
    f"s.status = {sql(SagaStatus.RUNNING)}",
    losses="greatest(s.losses, %(most)s)",
    note="%(reason)s",
    due_at="NULL",
)
_GO_ON = move_saga(
    SagaStatus.RUNNING, f"s.status = {sql(SagaStatus.PARKED)}", losses="0", wakes="-1"
)
_COUNT = f"""
UPDATE saga.saga s SET losses = losses + 1
 WHERE id = ANY(%(ids)s) AND status IN {sql(FORWARD)} AND losses < %(most)s
   AND NOT EXISTS (SELECT FROM saga.step t WHERE t.saga_id = s.id AND t.worker_id = %(worker)s)
RETURNING id, losses
"""
_ADVANCING = """
INSERT INTO saga.advancing AS a (worker_id, sagas) VALUES (%(worker)s, %(ids)s)
    ON CONFLICT (worker_id) DO UPDATE SET sagas = excluded.sagas WHERE a.sagas <> excluded.sagas
"""
_TAKE_ADVANCING = """
DELETE FROM saga.advancing WHERE worker_id = %(worker)s RETURNING sagas
"""


def park(connection: psycopg.Connection, saga_id: UUID, why: str) -> None:
    """Parks a running saga until it is retried by hand."""
    moved(connection, _PARK, [saga_id], reason=why, most=MOST_LOSSES)


def note_advancing(connection: psycopg.Connection, worker_id: int, sagas: Sequence[UUID]) -> None:
    """The code of these sagas, and of no others, is about to run for the first time on a worker, or
    still runs there.
    """
    connection.execute(_ADVANCING, {"worker": worker_id, "ids": list(sagas)})


def count_losses(connection: psycopg.Connection, worker_id: int) -> None:
    """A worker was lost, to whichever saga's code it was at. Not if it had a step of the saga, too:
    that has a budget of its own. To be called before its steps are taken over.
    """
    row = connection.execute(_TAKE_ADVANCING, {"worker": worker_id}).fetchone()
    if row is None:
        return
    counted = connection.execute(
        _COUNT, {"ids": row[0], "most": MOST_LOSSES, "worker": worker_id}
    ).fetchall()
    for saga_id, losses in counted:
        if losses >= MOST_LOSSES:
            park(connection, saga_id, f"{losses} workers were lost while its code ran")


def forgive(
    connection: psycopg.Connection, saga_id: UUID, *, actor: str, reason: str | None
) -> None:
    """Somebody says that the code of a parked saga is mended: it may run again, at once."""
    moved(connection, _GO_ON, [saga_id], actor=actor, reason=reason, due_in=0)
