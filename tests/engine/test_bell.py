"""What is started in SQL wakes the sweeper, which otherwise sleeps."""

import gc
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from saga.engine.sweep.sweeper import Sweeper
from saga.engine.worker.presence import Presence
from saga.wakeups.bell import Bell
from saga.wakeups.message import WakeUp
from saga.wakeups.publisher import SilentPublisher
from tests.live.processes import until

LONG = 120.0
"""Seconds; an alarm that waits so long was not rung."""


class Recorder:
    """A broker in which other messages wait already."""

    def __init__(self) -> None:
        self.sent: list[WakeUp] = []

    def publish(self, wakeups: Iterable[WakeUp], ended: Sequence[UUID] = ()) -> None:
        del ended
        self.sent += wakeups

    def length(self, queue: str) -> int | None:
        del queue
        return 1000

    def intact(self) -> bool:
        return True

    @contextmanager
    def announcements(self, saga_id: UUID) -> Generator[Callable[[float], None]]:
        del saga_id
        yield lambda _: None

    def close(self) -> None:
        pass


@pytest.fixture
def sql(database_url: str) -> Generator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO saga.definition (name, version, queue, input_schema)"
            " VALUES ('order', 1, 'sagas', '{}')"
        )
        yield connection


@pytest.fixture
def recorder(database_url: str, sql: psycopg.Connection) -> Generator[Recorder]:
    """Of a sweeper that leads and would sleep for long."""
    recorder = Recorder()
    sweeper = Sweeper(database_url, recorder, interval=LONG)
    sweeper.start()
    listening = "SELECT FROM pg_stat_activity WHERE query LIKE '%saga.delivery%' AND state = 'idle'"
    until(
        lambda: sql.execute(listening + " AND datname = current_database()").fetchall(), "it leads"
    )
    yield recorder
    began = time.monotonic()
    sweeper.stop()
    assert time.monotonic() - began < LONG / 2, "it does not finish its sleep"


def started(sql: psycopg.Connection) -> Any:
    row = sql.execute("SELECT saga.start('order')").fetchone()
    return row and row[0]


def test_a_start_in_sql_is_woken_at_once(sql: psycopg.Connection, recorder: Recorder) -> None:
    """Although the queue is full of other messages: nobody has sent one for this saga."""
    with sql.transaction():
        first, second = started(sql), started(sql)
        assert recorder.sent == [], "not before the commit"
    until(lambda: len(recorder.sent) == 2, "both are woken", within=LONG / 2)
    assert {w.saga_id for w in recorder.sent} == {first, second}
    assert {(w.queue, w.task) for w in recorder.sent} == {("sagas", "saga.advance")}
    recorder.sent.clear()
    sql.execute("SELECT saga.signal(%s, 'paid')", (first,))
    until(lambda: recorder.sent, "the signal wakes it", within=LONG / 2)
    assert [w.saga_id for w in recorder.sent] == [first]


def test_a_rolled_back_start_wakes_nobody(sql: psycopg.Connection, recorder: Recorder) -> None:
    with sql.transaction(force_rollback=True):
        started(sql)
    last = started(sql)
    until(lambda: recorder.sent, "the one that was committed is woken", within=LONG / 2)
    assert [w.saga_id for w in recorder.sent] == [last]


def test_a_sweeper_that_lost_its_connection_listens_again(
    sql: psycopg.Connection, recorder: Recorder
) -> None:
    sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'saga sweeper' AND datname = current_database()"
    )
    listening = "SELECT FROM pg_stat_activity WHERE query LIKE '%saga.delivery%' AND state = 'idle'"
    until(
        lambda: sql.execute(listening + " AND datname = current_database()").fetchall(), "it leads"
    )
    started(sql)
    until(lambda: recorder.sent, "it is woken", within=LONG / 2)


# The alarm by itself


def test_an_alarm_is_rung_from_another_thread() -> None:
    bell = Bell()
    threading.Timer(0.05, bell.ring).start()
    began = time.monotonic()
    bell.wait(None, LONG)
    assert time.monotonic() - began < LONG / 2
    for _ in range(100_000):
        bell.ring()  # never blocks
    bell.close()


def test_what_comes_with_an_answer_is_heard(sql: psycopg.Connection, database_url: str) -> None:
    bell = Bell()
    with psycopg.connect(database_url, autocommit=True) as connection:
        bell.listen(connection)
        sql.execute("NOTIFY saga_due")
        connection.execute("SELECT 1")  # takes the note in
        began = time.monotonic()
        bell.wait(connection, LONG)
        assert time.monotonic() - began < LONG / 2
        began = time.monotonic()
        bell.wait(connection, 0.2)
        assert time.monotonic() - began > 0.15, "it was heard once"
    bell.close()


def test_a_server_that_hangs_up_ends_the_wait(sql: psycopg.Connection, database_url: str) -> None:
    bell = Bell()
    connection = psycopg.connect(database_url, autocommit=True)
    bell.listen(connection)
    sql.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))

    def wait() -> None:
        for _ in range(3):
            bell.wait(connection, LONG)

    with pytest.raises(psycopg.OperationalError):
        wait()
    connection.close()
    bell.close()


def held() -> int:
    """File descriptors of this process."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_closed_alarm_keeps_no_descriptors_and_hears_nobody() -> None:
    before = held()
    bell = Bell()
    assert held() == before + 2
    for _ in range(2):
        bell.close()
        bell.ring()
    assert held() == before


def test_whoever_ends_lets_go_of_its_alarm(database_url: str) -> None:
    def once() -> None:
        presence = Presence(database_url, frozenset({"q"}))
        presence.start()
        sweeper = Sweeper(database_url, SilentPublisher())
        sweeper.start()
        sweeper.stop()
        presence.stop()

    once()
    before = held()
    once()
    assert held() == before
