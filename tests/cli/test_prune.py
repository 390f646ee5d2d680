"""`saga prune`: what goes, what stays, and who else is at work meanwhile."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from saga.client.connections import Connections
from saga.core.states import SagaStatus, StepState
from saga.operations.prune import Pruned, Pruning
from tests.cli.commands import Done, run
from tests.storage.rows import Rows

Ask = Callable[..., Done]
OLD = timedelta(days=100)
TABLES = ("saga", "step", "history", "signal", "delivery")


@pytest.fixture
def prune(database_url: str) -> Ask:
    return lambda *arguments: run(
        "prune",
        *("--ended-before", "90d", "--reason", "retention", "--by", "ann", "--json"),
        *arguments,
        SAGA_DATABASE_URL=database_url,
    )


def ended(
    rows: Rows, status: SagaStatus = SagaStatus.COMPLETED, age: timedelta = OLD, **columns: Any
) -> UUID:
    """A saga with a step and a signal, which began and ended `age` ago."""
    saga_id = rows.saga(status=status, age=age, **columns)
    rows.step(saga_id, 1)
    values = {"id": saga_id, "at": datetime.now(UTC) - age}
    signal = "INSERT INTO saga.signal (saga_id, event, name, payload) VALUES (:id, 1, 'paid', '1')"
    rows.connection.execute(text(signal), values)
    rows.connection.execute(text("UPDATE saga.saga SET ended_at = :at WHERE id = :id"), values)
    return saga_id


def callback(rows: Rows, saga_id: UUID, state: str) -> None:
    statement = """
INSERT INTO saga.delivery (id, saga_id, seq, status, url, state)
VALUES (:id, :saga_id, 2, 'completed', 'https://example.com/', :state)
"""
    rows.connection.execute(text(statement), {"id": uuid4(), "saga_id": saga_id, "state": state})


def left(rows: Rows) -> set[UUID]:
    """The sagas that are there; no row of another one is."""
    found = set(rows.connection.execute(text("SELECT id FROM saga.saga")).scalars())
    for table in TABLES[1:]:
        of = rows.connection.execute(text(f"SELECT saga_id FROM saga.{table}")).scalars()
        assert set(of) <= found, table
    return found


def test_an_old_saga_goes_with_all_its_rows(rows: Rows, prune: Ask) -> None:
    old, young = ended(rows), ended(rows, age=timedelta(days=80))
    callback(rows, old, "delivered")
    in_between = ended(rows)
    now = {"id": in_between, "at": datetime.now(UTC)}
    rows.connection.execute(text("UPDATE saga.saga SET ended_at = :at WHERE id = :id"), now)
    done = prune()
    assert (done.code, done.stderr) == (0, "")
    assert done.json == {
        "dry_run": False,
        "pruned": 1,
        "rows": {"sagas": 1, "steps": 1, "signals": 1, "callbacks": 1, "transitions": 5},
        "kept": {},
    }
    assert left(rows) == {young, in_between}
    audit = "SELECT actor, action, reason, details ->> 'sagas' FROM saga.audit"
    assert rows.connection.execute(text(audit)).fetchall() == [("ann", "prune", "retention", "1")]
    assert prune().json["pruned"] == 0
    assert len(rows.connection.execute(text(audit)).fetchall()) == 1, "nothing was done"


def test_a_dry_run_removes_nothing(rows: Rows, prune: Ask, database_url: str) -> None:
    mother = ended(rows)
    kept = {mother, ended(rows, parent_id=mother, parent_position=1), ended(rows)}
    done = prune("--dry-run")
    assert (done.json["pruned"], done.json["rows"]) == (2, {"sagas": 3})
    shown = run(
        *("prune", "--ended-before", "90d", "--dry-run"),
        SAGA_DATABASE_URL=database_url,
    )
    assert shown.stdout == "2 sagas with 1 below them would be removed\n"
    assert left(rows) == kept
    assert rows.connection.execute(text("SELECT count(*) FROM saga.audit")).scalar_one() == 0


def test_what_somebody_may_still_need_stays(rows: Rows, prune: Ask) -> None:
    gone = ended(rows, SagaStatus.FAILED)
    running = rows.saga(age=OLD)
    partly = ended(rows, SagaStatus.PARTLY_COMPENSATED)
    blocked = ended(rows, SagaStatus.PARTLY_COMPENSATED)
    rows.step(blocked, 1, StepState.BLOCKED, undo=True)
    due, lost = ended(rows), ended(rows)
    callback(rows, due, "due")
    callback(rows, lost, "given_up")
    assert prune().json["kept"] == {"a callback was not delivered": 2}
    assert left(rows) == {running, partly, blocked, due, lost}
    assert gone not in left(rows)
    done = prune("--status", "partly_compensated")
    assert done.json["kept"] == {"something waits for a person": 1}
    assert left(rows) == {running, blocked, due, lost}
    assert prune("--given-up").json["pruned"] == 1
    assert left(rows) == {running, blocked, due}


@pytest.mark.parametrize("why", ["running", "young", "partly", "blocked"])
def test_a_family_goes_as_a_whole_or_stays(rows: Rows, prune: Ask, why: str) -> None:
    mother = ended(rows)
    child = ended(rows, parent_id=mother, parent_position=1)
    kin: dict[str, Any] = {"parent_id": child, "parent_position": 1}
    if why == "running":
        last = rows.saga(age=OLD, **kin)
    elif why == "young":
        last = ended(rows, age=timedelta(days=1), **kin)
    elif why == "partly":
        last = ended(rows, SagaStatus.PARTLY_COMPENSATED, **kin)
    else:
        last = ended(rows, SagaStatus.PARTLY_COMPENSATED, **kin)
        rows.step(last, 1, StepState.BLOCKED, undo=True)
    assert prune().json["pruned"] == 0
    assert left(rows) == {mother, child, last}
    named = prune("--status", "partly_compensated", "--status", "completed").json
    assert named["pruned"] == (1 if why == "partly" else 0)


def test_the_oldest_first_and_so_many_at_most(rows: Rows, prune: Ask) -> None:
    sagas = [ended(rows, age=OLD + timedelta(days=day)) for day in range(5)]
    assert prune("--limit", "2").json["pruned"] == 2
    assert left(rows) == set(sagas[:3])


def test_what_somebody_holds_is_passed_by(rows: Rows, prune: Ask, database_url: str) -> None:
    held, mother, called, free = ended(rows), ended(rows), ended(rows), ended(rows)
    child = ended(rows, parent_id=mother, parent_position=1)
    callback(rows, called, "delivered")
    with psycopg.connect(database_url) as holder:
        ids = [held, child]
        holder.execute("SELECT FROM saga.saga WHERE id = ANY(%s) FOR UPDATE", (ids,))
        holder.execute("SELECT FROM saga.delivery FOR UPDATE")
        assert prune().json["kept"] == {"held by somebody": 1, "a callback was not delivered": 1}
        assert left(rows) == {held, mother, child, called}
        assert free not in left(rows)
    assert prune().json["pruned"] == 3
    assert left(rows) == set()


def test_two_at_once_share_the_work(rows: Rows, database_url: str) -> None:
    sagas = [ended(rows, age=OLD + timedelta(minutes=n)) for n in range(120)]
    progress: list[int] = []

    def go(_: int) -> Pruned:
        connections = Connections(database_url, "prune")
        run = Pruning(timedelta(days=90), by="ann", reason="r")
        try:
            return run.run(connections, say=lambda done: progress.append(done.roots))
        finally:
            connections.close()

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(go, range(2)))
    assert sum(each.roots for each in done) == len(sagas)
    assert sum(each.rows["steps"] for each in done) == len(sagas)
    assert left(rows) == set()
    assert len(progress) >= 3, "each batch is told of"
    audited = "SELECT sum((details ->> 'sagas')::int) FROM saga.audit"
    assert rows.connection.execute(text(audited)).scalar_one() == len(sagas)


def test_wrong_usage_says_what_is_right(prune: Ask, database_url: str) -> None:
    young = run(*("prune", "--ended-before", "1m", "--reason", "r"), SAGA_DATABASE_URL=database_url)
    assert (young.code, "at least 1h ago, like 90d" in young.stderr) == (1, True)
    assert "running" not in prune("--status", "running").error["message"].partition("one of")[2]
    assert run("prune", "--ended-before", "90d", SAGA_DATABASE_URL=database_url).code == 2


def test_the_history_of_a_saga_goes_no_other_way(rows: Rows, database_url: str) -> None:
    saga_id = ended(rows)
    forbidden = pytest.raises(psycopg.errors.CheckViolation, match="history is append-only")
    with psycopg.connect(database_url) as other:
        other.execute("SELECT set_config('saga.pruning', pg_current_xact_id()::text, false)")
        other.commit()
        with forbidden:
            other.execute("DELETE FROM saga.history WHERE saga_id = %s", (saga_id,))
        other.rollback()
        with forbidden:
            other.execute("DELETE FROM saga.history WHERE saga_id = %s", (saga_id,))
