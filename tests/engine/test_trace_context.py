"""The trace context of a start is stored with the saga, and its children are below it."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from opentelemetry.sdk.trace import TracerProvider

from saga import Client, StartRequest
from saga.core.intent import Intent
from saga.core.rows import child_id
from saga.core.traces import trace_root
from saga.storage.connect import connect
from saga.storage.hot.store import Store

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO saga.definition (name, version, queue, input_schema)"
            " VALUES ('order', 1, 'sagas', '{}')"
        )
        yield connection


@pytest.fixture
def client(sql: psycopg.Connection, database_url: str) -> Iterator[Client]:
    made = Client(database_url)
    yield made
    made.close()


def stored(sql: psycopg.Connection, saga_id: UUID) -> str | None:
    row = sql.execute("SELECT traceparent FROM saga.saga WHERE id = %s", (saga_id,)).fetchone()
    assert row is not None
    return row[0]


def test_a_caller_without_a_span_leaves_none(sql: psycopg.Connection, client: Client) -> None:
    assert stored(sql, client.start("order").id) is None


def test_a_caller_with_a_span(sql: psycopg.Connection, client: Client) -> None:
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("a request") as span:
        alone = client.start("order").id
        (among_many,) = client.start_many([StartRequest("order", traceparent=GIVEN)])
        inside = client.start("order", connection=sql).id
    context = span.get_span_context()
    for saga_id in (alone, among_many.id, inside):
        root = trace_root(saga_id, stored(sql, saga_id))
        assert (root.trace, root.parent) == (context.trace_id, context.span_id)
        assert root.flags == context.trace_flags
    assert len({trace_root(i, None).span for i in (alone, among_many.id, inside)}) == 3


def test_one_that_is_handed_on(sql: psycopg.Connection, client: Client) -> None:
    (handle,) = client.start_many([StartRequest("order", traceparent=GIVEN)])
    assert stored(sql, handle.id) == GIVEN


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (GIVEN, GIVEN),
        (f"cc{GIVEN[2:]}-what-may-come", GIVEN),
        (GIVEN.replace("-01", "-00"), GIVEN.replace("-01", "-00")),
        (None, None),
        ("", None),
        (f"ff{GIVEN[2:]}", None),
        (GIVEN.upper(), None),
        (GIVEN[:-1], None),
        (f"{GIVEN}0", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", None),
        ("x" * 10_000, None),
    ],
    ids=range(12),
)
def test_what_is_no_trace_context_starts_the_saga_all_the_same(
    sql: psycopg.Connection, given: str | None, kept: str | None
) -> None:
    row = sql.execute("SELECT saga.start('order', traceparent => %s)", (given,)).fetchone()
    assert row is not None
    assert stored(sql, row[0]) == kept


@pytest.mark.parametrize("given", [None, GIVEN])
def test_children_are_below_their_parents(
    sql: psycopg.Connection, client: Client, database_url: str, given: str | None
) -> None:
    """Also children of children, and those that the sweeper has to start."""
    (handle,) = client.start_many([StartRequest("order", traceparent=given)])
    child, grandchild = child_id(handle.id, 1), uuid4()
    with connect(database_url, "test") as connection:
        store = Store(connection)
        for parent, below_it in ((handle.id, child), (child, grandchild)):
            sql.execute(
                "INSERT INTO saga.step (saga_id, position, undo, kind, name, state, args, after)"
                " VALUES (%s, 1, false, 'child', 'order', 'waiting', '{}', 0)",
                (parent,),
            )
            lost = store.lost_children([(parent, 1, below_it)])
            assert lost == [(parent, 1, Intent("child", "order"))]
            assert store.start_child(below_it, 1, "sagas", "{}", parent, 1)
            assert store.lost_children([(parent, 1, below_it)]) == []
    root = trace_root(handle.id, given)
    below = trace_root(child, stored(sql, child))
    furthest = trace_root(grandchild, stored(sql, grandchild))
    assert (below.trace, below.parent, below.flags) == (root.trace, root.span, root.flags)
    assert (furthest.trace, furthest.parent, furthest.flags) == (root.trace, below.span, root.flags)
    assert len({root.span, below.span, furthest.span}) == 3
