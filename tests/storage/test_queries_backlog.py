"""The backlog by queue, and that a million sleeping sagas do not make it slow."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, text

from saga.core.states import StepState
from saga.storage.horizon import HORIZON, LONGEST
from saga.storage.queries import Backlog, backlog, workers
from saga.storage.queries.backlog import ready_work
from tests.storage.rows import Rows

SOON = func.now() + timedelta(seconds=2)
READY, RUNNING, UNKNOWN = StepState.READY, StepState.RUNNING, StepState.UNKNOWN


def test_by_queue(connection: Connection, rows: Rows) -> None:
    rows.worker("host:1", "mail", "stock")
    rows.worker("host:2", "mail")
    rows.worker("host:3", "mail", ended_at=func.now())
    saga_id = rows.saga()
    old = func.now() - timedelta(minutes=3)
    rows.step(saga_id, 1, READY, queue="mail", due_at=SOON, asked_at=old)
    rows.step(saga_id, 2, READY, queue="mail", due_at=SOON)
    rows.step(saga_id, 3, path=[READY, RUNNING], queue="stock", due_at=SOON)
    rows.step(saga_id, 4, path=[READY, RUNNING, UNKNOWN], queue="pay", due_at=SOON)
    mail, pay, stock = backlog(connection)
    assert (mail.queue, mail.ready, mail.running, mail.workers) == ("mail", 2, 0, 2)
    assert mail.oldest == pytest.approx(180, abs=10)
    assert (pay.queue, pay.ready, pay.workers) == ("pay", 1, 0)
    assert stock == Backlog("stock", 0, None, 1, 1)


def test_a_decision_waits_for_a_worker_too(connection: Connection, rows: Rows) -> None:
    rows.saga(queue="sagas", due_at=SOON)
    rows.saga(queue="sagas")
    (sagas,) = backlog(connection)
    assert (sagas.queue, sagas.ready) == ("sagas", 1)


def test_what_is_not_due_is_no_backlog(connection: Connection, rows: Rows) -> None:
    saga_id = rows.saga()
    days = func.now() + timedelta(days=3)
    rows.step(saga_id, 1, StepState.WAITING, kind="approval", name="big", due_at=days)
    rows.step(saga_id, 2, StepState.WAITING, kind="timer", name="sleep", due_at=SOON)
    rows.step(saga_id, 3, StepState.RETRYING, due_at=SOON)
    assert backlog(connection) == ()


def test_it_reads_a_range_of_the_partial_index(connection: Connection, rows: Rows) -> None:
    saga_id = rows.saga()
    connection.execute(
        text("""
INSERT INTO saga.step (saga_id, position, undo, kind, name, state, args, after, due_at)
SELECT gen_random_uuid(), 1, false, 'approval', 'big', 'waiting', '{}', 0, now() + interval '3 days'
  FROM generate_series(1, 30000)
""")
    )
    connection.execute(
        text("""
INSERT INTO saga.saga (id, name, version, queue, input)
SELECT gen_random_uuid(), 'order', 1, 'sagas', '{}' FROM generate_series(1, 30000)
""")
    )
    rows.step(saga_id, 1, READY, due_at=SOON)
    connection.execute(text("ANALYZE saga.step, saga.saga"))
    query = ready_work().compile(connection, compile_kwargs={"literal_binds": True})
    plan = "\n".join(connection.execute(text(f"EXPLAIN {query}")).scalars())
    assert "step_due_at_idx" in plan
    assert "saga_due_at_idx" in plan
    assert "Seq Scan" not in plan


def test_workers(connection: Connection, rows: Rows) -> None:
    gone = rows.worker("host:1", "mail", ended_at=func.now(), ended_why="stopped")
    live = rows.worker("host:2", "mail", "stock", lease_until=func.now() - timedelta(seconds=5))
    rows.step(rows.saga(), 1, path=[READY, RUNNING], worker=live)
    (row,) = workers(connection)
    assert (row.id, row.name, row.queues, row.steps) == (live, "host:2", ("mail", "stock"), 1)
    assert row.lease_left == pytest.approx(-5, abs=3)
    assert [row.id for row in workers(connection, ended=True)] == [live, gone]
    assert [row.id for row in workers(connection, ended=True, limit=1)] == [live]


def test_the_horizon_is_the_same_in_the_docs_and_longer_than_any_pause() -> None:
    assert int(re.sub(r"\D", "", HORIZON)) >= int(LONGEST) + 5
    operations = Path(__file__).parents[2] / "docs/operations.md"
    assert f"due_at <= now() + {HORIZON}" in operations.read_text()
