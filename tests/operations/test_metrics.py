"""What Prometheus scrapes, and that it costs next to nothing to ask."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, Engine, create_engine, event, text

from saga.core.states import StepState
from saga.operations.metrics import SystemCollector
from saga.storage.connect import connect
from saga.storage.demand import (
    _DEMAND,
    demand,
)
from saga.storage.migrate import sqlalchemy_url
from saga.storage.queries import backlog, reader
from saga.storage.queries.gauges import gauges
from tests.storage.rows import Rows

MANY = 30_000


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = create_engine(sqlalchemy_url(database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = reader(database_url, pool_size=1)
    yield made
    made.dispose()


def samples(page: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_backlogs_and_blocked_work(connection: Connection, engine: Engine) -> None:
    rows = Rows(connection)
    rows.worker("host:1", "mail")
    saga = rows.saga()
    soon = text("now() + interval '2 seconds'")
    rows.step(saga, 1, StepState.READY, queue="mail", due_at=soon)
    rows.step(saga, 2, StepState.BLOCKED, queue="mail")
    rows.step(saga, 1, StepState.BLOCKED, undo=True, queue="mail")
    found = samples(SystemCollector(engine).render())
    assert found["saga_up", ()] == 1
    assert found["saga_backlog", ("mail",)] == 1
    assert found["saga_workers", ("mail",)] == 1
    assert found["saga_blocked", ("step",)] == 1
    assert found["saga_blocked", ("undo",)] == 1
    assert found["saga_sweeper_lag_seconds", ()] == 0


def test_the_lag_is_that_of_the_longest_overdue(connection: Connection, engine: Engine) -> None:
    for overdue in ("7 seconds", "7 hours", "7 minutes"):
        Rows(connection).saga(due_at=text(f"now() - interval '{overdue}'"))
    found = samples(SystemCollector(engine).render())
    assert found["saga_sweeper_lag_seconds", ()] == pytest.approx(7 * 3600, abs=600)


def test_a_database_that_is_away_is_a_number_too() -> None:
    away = reader("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1)
    assert samples(SystemCollector(away).render()) == {("saga_up", ()): 0}


def test_no_question_scans_what_grows(connection: Connection, database_url: str) -> None:
    """Neither `saga backlog` nor the metrics nor the autoscaler, with many sagas in the tables."""
    _fill(connection)
    asked: list[tuple[str, Any]] = []

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    backlog(connection)
    gauges(connection)
    event.remove(connection, "before_cursor_execute", note)
    assert len(asked) >= 5
    for statement, parameters in asked:
        with psycopg.connect(database_url) as raw:
            plan = "\n".join(r[0] for r in raw.execute(f"EXPLAIN {statement}".encode(), parameters))
        assert not re.search(r"Seq Scan on (step|saga|history)", plan), plan
        assert "step_pkey" not in plan
        assert "saga_pkey" not in plan
    with connect(database_url, "test") as hot:
        assert demand(hot, ["stock"], 100) == (1, 0, 0)
        hot.execute("SET enable_seqscan = on")
        query = f"EXPLAIN {_DEMAND}".encode()
        rows = hot.execute(query, {"queues": ["stock"], "most": 100}).fetchall()
        assert not re.search(r"Seq Scan on (step|saga) ", str(rows))


def _fill(connection: Connection) -> None:
    connection.execute(
        text(f"""
WITH s AS (
  INSERT INTO saga.saga (id, name, version, queue, input)
  SELECT gen_random_uuid(), 'order', 1, 'sagas', '{{}}' FROM generate_series(1, {MANY}) RETURNING id
)
INSERT INTO saga.step (saga_id, position, undo, kind, name, state, args, after, due_at)
SELECT id, 1, false, 'approval', 'big', 'waiting', '{{}}', 0, now() + interval '3 days' FROM s
""")
    )
    rows = Rows(connection)
    saga = rows.saga()
    soon = text("now() + interval '2 seconds'")
    rows.step(saga, 1, StepState.READY, queue="stock", due_at=soon)
    rows.step(saga, 2, StepState.BLOCKED)
    connection.execute(text("ANALYZE"))
