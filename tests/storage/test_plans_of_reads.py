"""What people look for is found by an index among very many rows that they do not look for."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Select, create_engine, text

from saga.core.states import ENDED, SagaStatus
from saga.storage.migrate import sqlalchemy_url
from saga.storage.queries import Cursor, EffectFilter, SagaFilter, effects, list_sagas
from saga.storage.queries.effects import LATELY
from saga.storage.queries.effects import matching as effects_of
from saga.storage.queries.listing import matching as sagas_of
from tests.storage.rows import Rows

# A saga a minute for three weeks; the last day's effects are a twentieth.
MANY = """
WITH made AS (
  INSERT INTO saga.saga (id, name, version, queue, input, created_at, ended_at)
  SELECT gen_random_uuid(), 'order', 1, 'sagas', '{}', now() - n * interval '1 minute', now()
    FROM generate_series(30000, 1, -1) AS n
  RETURNING id, created_at
)
INSERT INTO saga.step (saga_id, position, undo, kind, name, queue, state, args, after, attempt,
                       started_at)
SELECT id, 1, false, 'step', 'pay', 'q', 'ready', '{}', 0, 1, created_at FROM made
"""


@pytest.fixture
def many(database_url: str) -> Generator[Connection]:
    """30,000 sagas that completed, with a step each; two that are parked, one of another name."""
    engine = create_engine(sqlalchemy_url(database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(MANY))
        connection.execute(
            text("UPDATE saga.saga SET status = 'completed' WHERE created_at < now()")
        )
        rows = Rows(connection)
        rows.saga(status=SagaStatus.PARKED, age=timedelta(days=15))
        rows.saga(status=SagaStatus.PARKED, age=timedelta(days=5))
        rows.saga("audit", age=timedelta(days=10))
        connection.execute(text("VACUUM ANALYZE saga.saga, saga.step"))
        yield connection
    engine.dispose()


def plan(connection: Connection, query: Select[*tuple[Any, ...]]) -> str:
    shown = query.limit(51).compile(connection, compile_kwargs={"literal_binds": True})
    lines = connection.execute(text(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {shown}"))
    return "\n".join(lines.scalars())


def test_few_among_many(many: Connection) -> None:
    for wanted, index in [
        (SagaFilter(statuses=["parked"]), "saga_rare_idx"),
        (SagaFilter(statuses=["parked", "partly_compensated"]), "saga_rare_idx"),
        (SagaFilter(name="audit"), "saga_name_created_at_idx"),
        (SagaFilter(), "saga_created_at_idx"),
        (SagaFilter(statuses=["completed"]), "saga_created_at_idx"),
    ]:
        page = list_sagas(many, wanted, limit=1)
        for after in (None, page.next):
            shown = plan(many, sagas_of(wanted, after))
            assert index in shown, shown
            assert "Sort" not in shown, shown
            assert "Rows Removed by Filter" not in shown or "Filter: 1\n" in shown, shown
    lost = SagaFilter(statuses=["parked"])
    first = list_sagas(many, lost, limit=1)
    second = list_sagas(many, lost, limit=1, after=first.next)
    assert [len(first.rows), len(second.rows), second.next] == [1, 1, None]


def test_a_key_without_its_name_is_found_by_an_index(many: Connection) -> None:
    """One look for each name: saga_name_key_key begins with the name."""
    wanted = SagaFilter(key="k-7")
    rows = Rows(many)
    made = {rows.saga(name, key="k-7") for name in ("audit", "order", "parcel")}
    assert {row.id for row in list_sagas(many, wanted).rows} == made
    many.execute(text("UPDATE saga.saga SET key = id::text WHERE key IS NULL AND version = 1"))
    many.execute(text("ANALYZE saga.saga"))
    shown = plan(many, sagas_of(wanted, None))
    assert "saga_name_key_key" in shown, shown
    assert "Seq Scan" not in shown, shown


def test_a_status_is_rare_or_common_for_both(many: Connection) -> None:
    rows = Rows(many)
    made = {status: rows.saga("each", status) for status in SagaStatus}
    for status, saga_id in made.items():
        (row,) = list_sagas(many, SagaFilter("each", [status])).rows
        assert row.id == saga_id
    everything = list_sagas(many, SagaFilter("each", list(SagaStatus))).rows
    assert {row.id for row in everything} == set(made.values())
    assert len(list_sagas(many, SagaFilter("each", ENDED)).rows) == len(ENDED)


def test_the_effects_of_the_last_day_are_read_alone(many: Connection) -> None:
    wanted = EffectFilter(since=LATELY)
    page = effects(many, wanted, limit=1)
    assert isinstance(page.next, Cursor)
    for after in (None, page.next):
        shown = plan(many, effects_of(wanted, after))
        assert "step_started_at_idx" in shown, shown
        assert "Seq Scan" not in shown, shown
