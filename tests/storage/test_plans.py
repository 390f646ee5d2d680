"""The hot statements find every row by an index, whatever the tables hold."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from saga.core.intent import Intent
from saga.core.rows import StepKey
from saga.storage import due, prune
from saga.storage.connect import connect
from saga.storage.hot import statements
from saga.storage.hot.landing_json import batch_of
from saga.storage.hot.rows import Known, Landing, Move, NewStep, Seen, Settled
from saga.storage.hot.store import Store
from saga.storage.workers import register

SAGA = UUID("5b1b7c2e-9d3c-4b1a-8f0e-0a0b0c0d0e0f")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    connection = connect(database_url, "plans")
    connection.execute(
        "INSERT INTO saga.saga (id, name, version, queue, input) "
        "SELECT gen_random_uuid(), 'many', 1, 'q', '{}' FROM generate_series(1, 2000)"
    )
    connection.execute(
        "INSERT INTO saga.saga (id, name, version, queue, input) VALUES (%s, 'one', 1, 'q', '{}')",
        (SAGA,),
    )
    connection.execute(
        "INSERT INTO saga.step (saga_id, position, undo, kind, name, queue, state, args, after) "
        "SELECT id, 1, false, 'step', 'a', 'q', 'ready', '{}', 0 FROM saga.saga"
    )
    register(connection, "here:1", "here", 1, ["q"], lease=3600)
    connection.execute("ANALYZE saga.saga, saga.step")
    yield Store(connection)
    connection.close()


def _plan(store: Store, query: Any, parameters: dict[str, Any]) -> str:
    explain: Any = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + query
    rows = store.connection.execute(explain, parameters, prepare=True)
    return "\n".join(row[0] for row in rows)


def _assert_indexed(plan: str) -> None:
    for table in ("saga", "step", "history", "signal"):
        assert f"Seq Scan on {table} " not in plan, plan
    assert "Hash" not in plan, plan


def _landing() -> Landing:
    return Landing(
        SAGA,
        Seen(0, 0, 0),
        "running",
        settled=[Settled(1, False, "succeeded", 1, "running", "1", None, False, 1, 1e9)],
        asked=[
            NewStep(2, False, Intent("step", "b", "q"), "ready", 1, None, 2.0),
        ],
    )


def test_land(store: Store) -> None:
    store.claim([(StepKey(SAGA, 1, undo=False), None)], 1)
    _assert_indexed(
        _plan(
            store, statements.LAND, {"batch": batch_of([_landing()]), "worker": 1, "grants": True}
        )
    )


def test_a_landing_that_was_decided_on_old_news_changes_nothing(store: Store) -> None:
    store.claim([(StepKey(SAGA, 1, undo=False), None)], 1)
    assert set(store.land([_landing()], 1)) == {SAGA}
    assert store.land([_landing()], 1) == {}
    rows = store.connection.execute(
        "SELECT count(*), max(seq) FROM saga.history WHERE saga_id = %s", (SAGA,)
    ).fetchone()
    assert rows == (3, 4), "a claim and a landing of two rows, after the start"


def test_to_complete_a_saga_leaves_its_indexes_alone(store: Store) -> None:
    store.connection.execute("UPDATE saga.saga SET due_at = NULL WHERE id = %s", (SAGA,))
    store.claim([(StepKey(SAGA, 1, undo=False), None)], 1)
    last = Settled(1, False, "succeeded", 1, "running", "1", None, False, 1, 1e9)
    end = Landing(SAGA, Seen(0, 0, 0), "running", settled=[last], status="completed", result="1")
    counted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'saga'"
    with store.connection.transaction():
        (before,) = store.connection.execute(counted).fetchall()
        assert set(store.land([end], 1)) == {SAGA}
        (after,) = store.connection.execute(counted).fetchall()
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1], "it is no HOT one"


def test_claim(store: Store) -> None:
    key = StepKey(SAGA, 1, undo=False)
    parameters = {"id": [key.saga_id], "position": [1], "undo": [False], "due_in": [None]}
    _assert_indexed(_plan(store, statements.CLAIM, {**parameters, "worker": 1}))
    assert store.claim([(key, None)], 2) == [], "its lease is another's"


def test_record_moves_only_what_its_token_holds(store: Store) -> None:
    key = StepKey(SAGA, 1, undo=False)
    (claimed,) = store.claim([(key, None)], 1)
    stale = Move(key, "running", "succeeded", claimed.attempt + 1, "1", is_event=True)
    assert store.record([stale]) == {}
    landed = store.record([Move(key, "running", "succeeded", claimed.attempt, "1", is_event=True)])
    assert landed == {key: 1}


def test_load(store: Store) -> None:
    parameters = {"id": [SAGA], "seq": [-1], "events": [-1], "worker": 1, "advancing": []}
    _assert_indexed(_plan(store, statements.LOAD, {**parameters, "many": 32, "large": 500_000}))
    assert [row.saga_id for row in store.load([Known(SAGA), Known(uuid4())], 1)] == [SAGA]


def test_what_is_due_is_found_without_reading_what_is_not(store: Store) -> None:
    store.connection.execute(
        "UPDATE saga.step SET due_at = now() + interval '1 day' WHERE saga_id <> %s", (SAGA,)
    )
    plan = _plan(store, due._STEPS, {"most": 500})  # pyright: ignore[reportPrivateUsage]
    assert "step_due_at_idx" in plan
    _assert_indexed(plan)


def test_old_sagas_are_found_from_the_oldest_on(store: Store) -> None:
    wanted = {"before": "infinity", "statuses": ["completed"], "at": None, "after": SAGA}
    with store.connection.transaction():
        store.connection.execute(prune._SETTINGS)  # pyright: ignore[reportPrivateUsage]
        plan = _plan(store, prune._ROOTS, {**wanted, "most": 100})  # pyright: ignore[reportPrivateUsage]
    assert "saga_created_at_idx" in plan
    assert "Sort" not in plan, plan
    _assert_indexed(plan)
    for statement in (prune._KIN, prune._UNSETTLED, prune._UNDELIVERED):  # pyright: ignore[reportPrivateUsage]
        asked = {"id": [SAGA], "statuses": ["completed"], "done": ["delivered"]}
        _assert_indexed(_plan(store, statement, asked))


def test_a_row_that_somebody_holds_does_not_hold_up_the_others(
    store: Store, database_url: str
) -> None:
    (other,) = store.connection.execute(
        "SELECT id FROM saga.saga WHERE name = 'many' LIMIT 1"
    ).fetchone() or (None,)
    moves = [
        Move(StepKey(saga_id, 1, undo=False), "ready", "cancelled")
        for saga_id in (SAGA, UUID(str(other)))
    ]
    store.connection.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM saga.saga WHERE id = %s FOR UPDATE", (SAGA,))
        assert set(store.record_each(moves)) == {moves[1].key}
    assert set(store.record_each(moves)) == {moves[0].key}
