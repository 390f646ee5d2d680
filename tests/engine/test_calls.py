"""Starting and signalling from Python and from SQL: the same guarantees."""

import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from saga import (
    Client,
    InvalidInput,
    KeyConflict,
    SagaEnded,
    SagaNotFound,
    StartRequest,
    UnknownSaga,
)

UNKNOWN_SAGA, KEY_CONFLICT, BAD_INPUT, NOT_FOUND, ENDED = (f"SG00{n}" for n in range(1, 6))


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for name, version in (("order", 1), ("order", 2), ("refund", 1)):
            connection.execute(
                "INSERT INTO saga.definition (name, version, queue, input_schema)"
                " VALUES (%s, %s, 'sagas', '{}')",
                (name, version),
            )
        yield connection


@pytest.fixture
def client(sql: psycopg.Connection, database_url: str) -> Iterator[Client]:
    made = Client(database_url)
    yield made
    made.close()


def one(connection: psycopg.Connection, statement: str, *parameters: Any) -> Any:
    row = connection.execute(statement.encode(), parameters).fetchone()
    return row and row[0]


def refusal(connection: psycopg.Connection, statement: str, *parameters: Any) -> tuple[str, str]:
    """SQLSTATE and text of the error."""
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode(), parameters)
    diagnosis = caught.value.diag
    return diagnosis.sqlstate or "", diagnosis.message_primary or ""


def count(connection: psycopg.Connection) -> int:
    return one(connection, "SELECT count(*) FROM saga.saga")


# Starting


def test_a_saga_started_in_sql(sql: psycopg.Connection) -> None:
    found = one(
        sql,
        """SELECT saga.start('order', '{"item": "ä", "n": 1}'::jsonb, key => 'k', attributes =>
           '{"shop": 7}', callback => 'https://example.com/hook')""",
    )
    row = sql.execute(
        "SELECT name, version, queue, key, input::text, attributes, callback, status,"
        " due_at <= now() FROM saga.saga WHERE id = %s",
        (found,),
    ).fetchone()
    assert row == (
        "order",
        2,
        "sagas",
        "k",
        '{"n": 1, "item": "ä"}',
        {"shop": 7},
        "https://example.com/hook",
        "running",
        True,
    )
    history = "SELECT seq, after FROM saga.history WHERE saga_id = %s"
    assert sql.execute(history, (found,)).fetchall() == [(1, "running")]
    assert one(sql, "SELECT saga.find('order', 'k')") == found
    assert (
        one(sql, "SELECT version FROM saga.saga WHERE id = saga.start('order', version => 1)")
        is None
    )
    assert one(sql, "SELECT status FROM saga.standing(%s)", found) == "running"


def test_a_start_that_is_rolled_back_never_was(sql: psycopg.Connection) -> None:
    with sql.transaction(force_rollback=True):
        one(sql, "SELECT saga.start('order', key => 'k')")
        assert count(sql) == 1
    assert count(sql) == 0
    assert one(sql, "SELECT count(*) FROM saga.history") == 0


def test_a_key_starts_one_saga(sql: psycopg.Connection, client: Client) -> None:
    first = one(sql, """SELECT saga.start('order', '{"a": 1, "b": [2]}', key => 'k')""")
    again = one(sql, """SELECT saga.start('order', '{"b": [2], "a": 1.0}', key => 'k')""")
    from_python = client.start("order", key="k", b=[2], a=1)
    assert first == again == from_python.id
    assert not from_python.is_new
    state, text = refusal(sql, """SELECT saga.start('order', '{"a": 2}', key => 'k')""")
    assert state == KEY_CONFLICT
    assert str(first) in text
    with pytest.raises(KeyConflict, match=str(first)):
        client.start("order", key="k", a=2)
    assert one(sql, "SELECT saga.start('refund', key => 'k')") != first
    assert count(sql) == 2


def test_an_unknown_saga_is_refused_with_the_known_ones(
    sql: psycopg.Connection, client: Client
) -> None:
    assert refusal(sql, "SELECT saga.start('ordr')") == (
        UNKNOWN_SAGA,
        'no worker has announced saga "ordr"; announced are order, refund',
    )
    state, text = refusal(sql, "SELECT saga.start('order', version => 3)")
    assert state == UNKNOWN_SAGA
    assert "version 3" in text
    with pytest.raises(UnknownSaga, match="did you mean order"):
        client.start("ordr")
    assert count(sql) == 0


DEEP = "[" * 100 + "]" * 100


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("[1]", "object"),
        ("null", "object"),
        ('"x"', "object"),
        ('{"x": "' + "y" * (1 << 20) + '"}', "1048576"),
        ('{"x": ' + DEEP + "}", "nested"),
        ('{"x": 1e400}', "too large"),
        ('{"x": ' + "9" * 310 + ".5}", "too large"),
    ],
    ids=["array", "null", "text", "large", "deep", "huge", "infinite"],
)
def test_bad_input_is_refused(sql: psycopg.Connection, given: str, text: str) -> None:
    state, message = refusal(sql, "SELECT saga.start('order', %s::jsonb)", given)
    assert (state, text in message) == (BAD_INPUT, True)
    assert count(sql) == 0


@pytest.mark.parametrize(
    "given",
    [
        '{"x": ' + DEEP[1:-1] + "}",
        '{"x": 1e300}',
        '{"x": "' + "7" * 5000 + '"}',
        '{"x": 0.1e-500}',
    ],
    ids=["deep", "huge", "digits", "tiny"],
)
def test_what_python_reads_back_is_taken(
    sql: psycopg.Connection, client: Client, given: str
) -> None:
    assert one(sql, "SELECT saga.start('order', %s::jsonb)", given)


@pytest.mark.parametrize(
    "arguments",
    [
        "key => ''",
        "key => repeat('k', 501)",
        "callback => 'ftp://example.com'",
        "callback => 'https://'",
        "callback => 'https://exämple.com/'",
        "callback => 'https://example.com/ x'",
        "name => NULL",
    ],
)
def test_bad_options_are_refused(sql: psycopg.Connection, arguments: str) -> None:
    name = "" if arguments.startswith("name") else "'order', "
    assert refusal(sql, f"SELECT saga.start({name}{arguments})")[0] == BAD_INPUT
    assert count(sql) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"key": ""},
        {"key": "a\0"},
        {"key": "\ud800"},
        {"version": 0},
        {"version": 2**31},
        {"callback": "ftp://example.com"},
        {"callback": "https://user:password@example.com"},
        {"callback": "https://example.com/#x"},
        {"callback": "https://example.com:99999/"},
        {"callback": "https://exa\nmple.com/"},
        {"attributes": {"x": float("nan")}},
    ],
    ids=str,
)
def test_bad_options_are_refused_in_python(client: Client, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        client.start("order", **options)


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "x" * 501])
def test_bad_names_are_refused_in_python(client: Client, name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        client.start(name)


def test_a_service_needs_no_rights_on_the_tables(
    sql: psycopg.Connection, database_url: str
) -> None:
    role = f"web_{uuid4().hex}"
    sql.execute(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA saga TO {role}".encode())
    try:
        sql.execute(f"SET ROLE {role}".encode())
        found = one(sql, "SELECT saga.start('order', key => 'k')")
        assert one(sql, "SELECT saga.signal(saga.find('order', 'k'), 'paid')") is True
        assert refusal(sql, "SELECT * FROM saga.saga")[0] == "42501"
        call = "SELECT * FROM saga.accept_signal(%s, 'x', '1', NULL, NULL, NULL)"
        assert refusal(sql, call, found)[0] == "42501"
    finally:
        undo = f"RESET ROLE; REVOKE USAGE ON SCHEMA saga FROM {role}; DROP ROLE {role}"
        sql.execute(undo.encode())


def test_the_same_key_from_many_connections_at_once(
    sql: psycopg.Connection, database_url: str
) -> None:
    found: list[UUID] = []
    gate = threading.Barrier(8)

    def start() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            gate.wait()
            found.append(one(connection, "SELECT saga.start('order', key => 'k')"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert count(sql) == 1


def test_a_start_is_audited_if_somebody_is_named(sql: psycopg.Connection, client: Client) -> None:
    (handle,) = client.start_many([StartRequest("order", key="k")], by="ann")
    client.start_many([StartRequest("order", key="k")], by="ben")
    client.start("order")
    rows = sql.execute("SELECT actor, action, saga_id FROM saga.audit").fetchall()
    assert rows == [("ann", "start", handle.id)]
    assert one(sql, "SELECT actor FROM saga.history WHERE saga_id = %s", handle.id) == "ann"


def test_a_start_is_part_of_the_callers_transaction(
    sql: psycopg.Connection, client: Client
) -> None:
    with sql.transaction(force_rollback=True):
        client.start("order", connection=sql, key="k")
    assert count(sql) == 0
    with sql.transaction():
        handle = client.start("order", connection=sql, key="k")
        client.signal(handle.id, "paid", {"sum": 1}, connection=sql)
    assert client.find("order", "k").id == handle.id
    assert one(sql, "SELECT count(*) FROM saga.signal") == 1


def test_who_starts_in_sql_rings_the_sweeper(sql: psycopg.Connection, client: Client) -> None:
    def heard(some: bool = True) -> int:
        found = list(sql.notifies(timeout=30, stop_after=1)) if some else []
        return len(found) + len(list(sql.notifies(timeout=0.05)))

    sql.execute("LISTEN saga_due")
    with sql.transaction():
        saga_id = one(sql, "SELECT saga.start('order', key => 'k')")
        assert heard(some=False) == 0, "not before the commit"
    assert heard() == 1
    one(sql, "SELECT saga.signal(%s, 'paid', '1', 'd')", saga_id)
    assert heard() == 1
    one(sql, "SELECT saga.signal(%s, 'paid', '1', 'd')", saga_id)
    assert heard(some=False) == 0, "a twin is no news"
    client.start("order")
    assert heard() == 1, "no broker: the sweeper has to send the wake-up"


# Signals


def test_a_signal_sent_in_sql(sql: psycopg.Connection) -> None:
    saga_id = one(sql, "SELECT saga.start('order')")
    assert one(sql, """SELECT saga.signal(%s, 'paid', '{"sum": 1}', 'd', 'bank')""", saga_id)
    assert one(sql, "SELECT saga.signal(%s, 'shipped')", saga_id)
    assert not one(sql, """SELECT saga.signal(%s, 'paid', '{"sum": 2}', 'd')""", saga_id)
    rows = sql.execute("SELECT event, name, payload, dedup_id, sender FROM saga.signal").fetchall()
    assert rows == [(1, "paid", {"sum": 1}, "d", "bank"), (2, "shipped", None, None, None)]
    assert one(sql, "SELECT events FROM saga.saga") == 2
    audit = sql.execute("SELECT actor, action, details FROM saga.audit").fetchall()
    assert audit == [("saga", "signal", {"name": "paid", "sender": "bank"})]


def test_nobody_acts_as_another_in_sql(sql: psycopg.Connection, client: Client) -> None:
    """What the caller of a function says of itself is no proof; the client's own word is ours."""
    role = f"till_{uuid4().hex}"
    saga_id = one(sql, "SELECT saga.start('order')")
    sql.execute(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA saga TO {role}".encode())
    try:
        sql.execute(f"SET SESSION AUTHORIZATION {role}".encode())
        assert one(sql, "SELECT saga.signal(%s, 'paid', sender => 'grace')", saga_id)
    finally:
        undo = f"REVOKE USAGE ON SCHEMA saga FROM {role}; DROP ROLE {role}"
        sql.execute(f"RESET SESSION AUTHORIZATION; {undo}".encode())
    client.signal(saga_id, "paid", sender="grace")
    audit = sql.execute("SELECT actor, details FROM saga.audit ORDER BY id").fetchall()
    assert audit == [
        (role, {"name": "paid", "sender": "grace"}),
        ("grace", {"name": "paid"}),
    ]


def test_a_signal_that_is_rolled_back_never_was(sql: psycopg.Connection) -> None:
    saga_id = one(sql, "SELECT saga.start('order')")
    with sql.transaction(force_rollback=True):
        one(sql, "SELECT saga.signal(%s, 'paid')", saga_id)
    assert one(sql, "SELECT count(*) FROM saga.signal") == 0
    assert one(sql, "SELECT events FROM saga.saga") == 0


def test_signals_that_cannot_be_taken(sql: psycopg.Connection, client: Client) -> None:
    nobody, saga_id = uuid4(), one(sql, "SELECT saga.start('order')")
    client.signal(saga_id, "paid", dedup_id="d")
    sql.execute("UPDATE saga.saga SET status = 'completed', ended_at = now()")
    assert refusal(sql, "SELECT saga.signal(%s, 'paid')", nobody)[0] == NOT_FOUND
    assert refusal(sql, "SELECT saga.signal(saga.find('order', 'x'), 'paid')")[0] == NOT_FOUND
    assert refusal(sql, "SELECT saga.signal(%s, 'paid')", saga_id) == (
        ENDED,
        f"saga {saga_id} takes no signals: it is completed",
    )
    assert refusal(sql, "SELECT saga.signal(%s, '')", saga_id)[0] == BAD_INPUT
    with pytest.raises(SagaNotFound):
        client.signal(nobody, "paid")
    with pytest.raises(SagaEnded, match="completed"):
        client.signal(saga_id, "paid")
    with pytest.raises(SagaNotFound, match="'x'"):
        client.find("order", "x")
    assert client.signal(saga_id, "paid", dedup_id="d") is False, "it was taken in time"
    assert one(sql, "SELECT saga.signal(%s, 'paid', dedup_id => 'd')", saga_id) is False


def test_the_same_signal_from_many_connections_at_once(
    sql: psycopg.Connection, client: Client
) -> None:
    saga_id = one(sql, "SELECT saga.start('order')")
    answers: list[bool] = []
    gate = threading.Barrier(8)

    def send() -> None:
        gate.wait()
        answers.append(client.signal(saga_id, "paid", dedup_id="d"))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 7 + [True]
    assert one(sql, "SELECT count(*) FROM saga.signal") == 1
