"""A role that may only start and signal can take any advisory lock, and stops nothing by it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from saga import Client
from saga.storage import workers
from saga.storage.connect import connect
from saga.storage.migrate import migrate
from saga.storage.workers import LEADER, PRESENCE
from tests.live.processes import shop_worker, until


@contextmanager
def starter(database_url: str) -> Generator[psycopg.Connection[Any]]:
    """A session of a role with USAGE on the schema and nothing else."""
    with psycopg.connect(database_url, autocommit=True) as owner:
        name = owner.execute("SELECT 'starter_' || current_database()").fetchone()
        assert name is not None
        owner.execute(f"CREATE ROLE {name[0]} LOGIN PASSWORD 'x'".encode())
        owner.execute(f"GRANT USAGE ON SCHEMA saga TO {name[0]}".encode())
        try:
            url = make_conninfo(database_url, user=name[0], password="x")
            with psycopg.connect(url, autocommit=True) as connection:
                yield connection
        finally:
            owner.execute(f"DROP OWNED BY {name[0]}".encode())
            owner.execute(f"DROP ROLE {name[0]}".encode())


def take(session: psycopg.Connection[Any], kind: int, database_url: str, query: str) -> None:
    with psycopg.connect(database_url) as owner:
        row = owner.execute(query.encode()).fetchone()
    assert row is not None
    session.execute("SELECT pg_advisory_lock(%s, %s)", (kind, row[0]))


def test_the_lead_is_taken_and_everything_goes_on(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    """From before any worker started, so that none ever led."""
    with starter(database_url) as thief:
        take(thief, LEADER, database_url, "SELECT key FROM saga.lead")
        with shop_worker(database_url, broker_url, tmp_path / "worker") as worker:
            until(lambda: "which is no worker's" in worker.output, "they say so")
            assert "role starter_" in worker.output
            found = thief.execute(
                """SELECT saga.start('order', '{"item": "lamp"}')"""  # only a sweeper wakes it
            ).fetchone()
            assert found is not None
            with Client(database_url) as client:
                assert client.handle(found[0]).result(timeout=60)["paid"] == 1


def test_who_waits_for_the_lead_gets_a_lock_that_nobody_wants(database_url: str) -> None:
    """The leader's own lock can be seen, and waited for; it is worth nothing after its end."""
    with (
        starter(database_url) as thief,
        connect(database_url, "leader") as leader,
        connect(database_url, "second") as second,
        connect(database_url, "third") as third,
    ):
        assert workers.lead(leader, 1.0)
        assert not workers.move_lead(second), "it is a worker's"
        key = leader.execute("SELECT key FROM saga.lead").fetchone()
        assert key is not None
        leader.close()
        thief.execute("SELECT pg_advisory_lock(%s, %s)", (LEADER, key[0]))
        assert not workers.lead(second, 0.1)
        assert workers.move_lead(second)
        assert workers.lead(second, 1.0)
        assert not workers.lead(third, 0.1), "there is one leader"
        assert not workers.move_lead(third)
        thief.execute("SELECT pg_advisory_unlock_all()")
        assert not workers.lead(third, 0.1), "what the thief let go of is no lead"


def test_a_presence_that_a_stranger_holds_is_none(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with starter(database_url) as thief, connect(database_url, "watcher") as watcher:
        worker = connect(database_url, "worker")
        worker_id, _ = workers.register(worker, "w", "h", 1, ["q"], 60.0)
        assert workers.missing(watcher) == (set(), {})
        worker.close()
        until(lambda: worker_id in workers.missing(watcher)[1], "it is missed")
        key = f"SELECT coalesce(presence, id) FROM saga.worker WHERE id = {worker_id}"
        take(thief, PRESENCE, database_url, key)
        assert worker_id in workers.missing(watcher)[1], "the dead look dead"

        again = connect(database_url, "worker")
        assert workers.hold(again, worker_id)
        assert workers.missing(watcher) == (set(), {}), "and the living alive"
        assert "a lock of this worker is held by role starter_" in caplog.text
        again.close()


def test_the_release_before_sees_who_lives(database_url: str) -> None:
    """In a deploy one of its workers may lead, which knows locks by workers' ids: what it misses,
    it takes for dead.
    """
    with connect(database_url, "worker") as worker:
        worker_id, _ = workers.register(worker, "w", "h", 1, ["q"], 60.0)
        held = worker.execute(
            "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
            " AND granted AND classid::bigint = %s AND pid = pg_backend_pid()",
            (PRESENCE,),
        ).fetchall()
        assert held == [(worker_id,)]


def test_a_migration_does_not_wait_for_who_cannot_migrate(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with starter(database_url) as thief:
        thief.execute("SELECT pg_advisory_lock(%s)", (0x5A6A_0001,))
        migrate(database_url)
    assert "the lock of migrations is held by role starter_" in caplog.text
