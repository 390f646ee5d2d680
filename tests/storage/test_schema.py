"""The database is what the models say, and refuses what the tables of moves do not hold."""

import multiprocessing
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.sql import SQL
from sqlalchemy import Connection, create_engine, insert, text, update
from sqlalchemy.exc import IntegrityError

from saga import models
from saga.core.states import SAGA_MOVES, SETTLED, STEP_MOVES, SagaStatus, StepState
from saga.errors import InvalidInput, SchemaOutdated
from saga.storage.migrate import check, migrate, sqlalchemy_url

COLUMNS = """
SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attidentity, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'saga'::regnamespace AND c.relkind = 'r'
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'saga'::regnamespace
"""
OWN_FUNCTIONS = """
SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'saga'::regnamespace
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'saga'"
OPTIONS = """
SELECT relname, reloptions, obj_description(oid) FROM pg_class
 WHERE relnamespace = 'saga'::regnamespace AND relkind = 'r'
"""


@pytest.fixture
def created(empty_database_url: str) -> Iterator[Connection]:
    """A database made from the models alone."""
    engine = create_engine(sqlalchemy_url(empty_database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE SCHEMA saga"))
        models.metadata.create_all(connection)
        yield connection
    engine.dispose()


def _is_ours(name: str | None, kind: str, _: Any) -> bool:
    """None: the default schema, which is ours when the user has its name."""
    if kind == "table":
        return name != "revision"
    return kind != "schema" or name in (None, models.SCHEMA)


def test_alembic_finds_no_difference(connection: Connection) -> None:
    options: dict[str, Any] = {
        "include_schemas": True,
        "include_name": _is_ours,
        "compare_type": True,
        "compare_server_default": True,
    }
    context = MigrationContext.configure(connection, opts=options)
    assert compare_metadata(context, models.metadata) == []


@pytest.mark.parametrize(
    "what",
    [COLUMNS, CONSTRAINTS, INDEXES, OPTIONS],
    ids=["columns", "constraints", "indexes", "options"],
)
def test_migrations_make_what_the_models_say(
    connection: Connection, created: Connection, what: str
) -> None:
    def catalog(of: Connection) -> set[tuple[Any, ...]]:
        return {
            tuple(map(str, row)) for row in of.execute(text(what)) if "revision" not in str(row[0])
        }

    assert catalog(connection) == catalog(created)


def columns_of(state: StepState) -> dict[str, Any]:
    """What the other constraints want of a step in this state."""
    return {
        "worker_id": 1 if state == StepState.RUNNING else None,
        "settled_at": text("now()") if state in SETTLED else None,
    }


def put_step(connection: Connection, state: StepState) -> dict[str, Any]:
    """A step in `state`, however illegal the way there."""
    key = {"saga_id": uuid4(), "position": 1, "undo": False}
    values: dict[str, Any] = {
        "kind": "step",
        "name": "reserve",
        "args": {},
        "after": 0,
        "state": state,
    }
    connection.execute(text("SET session_replication_role = replica"))
    connection.execute(insert(models.step).values(**key, **values, **columns_of(state)))
    connection.execute(text("SET session_replication_role = origin"))
    return key


def put_saga(connection: Connection, status: SagaStatus) -> dict[str, Any]:
    key = {"id": uuid4()}
    values: dict[str, Any] = {
        "name": "order",
        "version": 1,
        "queue": "sagas",
        "input": {},
        "status": status,
    }
    connection.execute(text("SET session_replication_role = replica"))
    connection.execute(insert(models.saga).values(**key, **values))
    connection.execute(text("SET session_replication_role = origin"))
    return key


def test_steps_move_as_the_table_says_and_no_other_way(connection: Connection) -> None:
    for before, after in product(StepState, StepState):
        key = put_step(connection, before)
        move = update(models.step).filter_by(**key).values(state=after, **columns_of(after))
        if before == after or after in STEP_MOVES[before]:
            connection.execute(move)
        else:
            with pytest.raises(IntegrityError, match=f"of step from {before} to {after}"):
                connection.execute(move)


def test_sagas_move_as_the_table_says_and_no_other_way(connection: Connection) -> None:
    for before, after in product(SagaStatus, SagaStatus):
        key = put_saga(connection, before)
        move = update(models.saga).filter_by(**key).values(status=after)
        if before == after or after in SAGA_MOVES[before]:
            connection.execute(move)
        else:
            with pytest.raises(IntegrityError, match=f"of saga from {before} to {after}"):
                connection.execute(move)


@pytest.mark.parametrize("state", StepState)
def test_a_step_begins_as_the_table_says(connection: Connection, state: StepState) -> None:
    values: dict[str, Any] = {
        "position": 1,
        "undo": False,
        "kind": "step",
        "name": "x",
        "args": {},
        "after": 0,
    }
    start = insert(models.step).values(saga_id=uuid4(), state=state, **values, **columns_of(state))
    if state in STEP_MOVES[None]:
        connection.execute(start)
    else:
        with pytest.raises(IntegrityError, match="illegal move of step"):
            connection.execute(start)


@pytest.mark.parametrize("status", SagaStatus)
def test_a_saga_begins_as_the_table_says(connection: Connection, status: SagaStatus) -> None:
    values: dict[str, Any] = {
        "name": "order",
        "version": 1,
        "queue": "sagas",
        "input": {},
        "status": status,
    }
    start = insert(models.saga).values(id=uuid4(), **values)
    if status in SAGA_MOVES[None]:
        connection.execute(start)
    else:
        with pytest.raises(IntegrityError, match="illegal move of saga"):
            connection.execute(start)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "lost"},
        {"kind": "dance"},
        {"worker_id": 7},
        {"settled_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"state": "running"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_step_that_makes_no_sense_is_refused(
    connection: Connection, changes: dict[str, Any]
) -> None:
    key = put_step(connection, StepState.READY)
    with pytest.raises(IntegrityError):
        connection.execute(update(models.step).filter_by(**key).values(**changes))


@pytest.mark.parametrize(
    "changes",
    [{"status": "lost"}, {"applied": 1}, {"undo_cause": "mood"}, {"seq": 0}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_saga_that_makes_no_sense_is_refused(
    connection: Connection, changes: dict[str, Any]
) -> None:
    key = put_saga(connection, SagaStatus.RUNNING)
    with pytest.raises(IntegrityError):
        connection.execute(update(models.saga).filter_by(**key).values(**changes))


@pytest.mark.parametrize(
    "change", ["UPDATE saga.history SET reason = 'x'", "DELETE FROM saga.history"]
)
def test_history_is_append_only(connection: Connection, change: str) -> None:
    row = {"saga_id": uuid4(), "seq": 1, "after": "running"}
    connection.execute(insert(models.history).values(**row))
    with pytest.raises(IntegrityError, match="history is append-only"):
        connection.execute(text(change))


def test_history_has_each_number_once(connection: Connection) -> None:
    row = {"saga_id": uuid4(), "seq": 1, "after": "running"}
    connection.execute(insert(models.history).values(**row))
    with pytest.raises(IntegrityError):
        connection.execute(insert(models.history).values(**row))


def test_a_key_starts_one_saga_of_a_name(connection: Connection) -> None:
    def start(name: str, key: str | None) -> None:
        values: dict[str, Any] = {"version": 1, "queue": "sagas", "input": {}}
        connection.execute(insert(models.saga).values(id=uuid4(), name=name, key=key, **values))

    start("order", "k")
    start("refund", "k")
    start("order", None)
    start("order", None)
    with pytest.raises(IntegrityError):
        start("order", "k")


def _migrate(url: str, gate: Any, results: Any) -> None:
    done: list[str] = []
    gate.wait()
    migrate(url, done.append)
    results.put(done)


def test_migrating_from_eight_processes_at_once(empty_database_url: str) -> None:
    method = multiprocessing.get_context("spawn")
    gate, results = method.Barrier(8), method.Queue()
    processes = [
        method.Process(target=_migrate, args=(empty_database_url, gate, results)) for _ in range(8)
    ]
    for process in processes:
        process.start()
    done = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert sum(map(bool, done)) == 1, "one of them does all the work"
    with psycopg.connect(empty_database_url) as connection:
        check(connection)


def test_a_table_in_use_is_waited_for_in_turns_with_its_users(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asks = threading.Event()
    goes_on = threading.Event()

    def pause(_: float) -> None:
        asks.set()
        assert goes_on.wait(60)

    monkeypatch.setattr("saga.storage.migrate.sleep", pause)
    with psycopg.connect(database_url) as user, psycopg.connect(database_url) as other:
        user.execute("DROP TRIGGER saga_ends ON saga.saga")  # as it was before revision 0002
        user.execute("UPDATE saga.revision SET version_num = '0001'")
        for function in user.execute(OWN_FUNCTIONS).fetchall():
            user.execute(SQL("DROP FUNCTION {} CASCADE").format(SQL(function[0])))
        user.commit()
        user.execute("LOCK TABLE saga.saga IN ROW EXCLUSIVE MODE")
        migrator = threading.Thread(target=migrate, args=(database_url,))
        migrator.start()
        assert asks.wait(60)
        other.execute("LOCK TABLE saga.saga IN ROW EXCLUSIVE MODE NOWAIT")
        other.rollback()
        user.rollback()
        goes_on.set()
        migrator.join(60)
        assert check(other) is None
    assert "a table is in use" in caplog.text


@pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/shop"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidInput, match="database_url: want postgresql://"):
        migrate(url)


def test_migrating_again_does_nothing(database_url: str) -> None:
    done: list[str] = []
    migrate(database_url, done.append)
    assert done == []


def test_a_database_that_was_never_migrated_is_refused(empty_database_url: str) -> None:
    with (
        psycopg.connect(empty_database_url) as connection,
        pytest.raises(SchemaOutdated, match="run `saga migrate`"),
    ):
        check(connection)


def test_a_database_of_an_older_release_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE saga.revision SET version_num = '0001'")
        with pytest.raises(SchemaOutdated, match="revision 0001"):
            check(connection)


def test_a_database_of_a_newer_release_is_worked_on_and_left_as_it_is(database_url: str) -> None:
    done: list[str] = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert check(connection) is None
        connection.execute("UPDATE saga.revision SET version_num = '9999'")
        assert "revision 9999 is of a newer release" in (check(connection) or "")
        migrate(database_url, done.append)
        row = connection.execute("SELECT version_num FROM saga.revision").fetchone()
    assert (done, row) == ([], ("9999",))
