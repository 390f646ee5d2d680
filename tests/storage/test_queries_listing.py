"""Lists of sagas: filters, and pages that stay right while sagas are started."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection

from saga.core.states import SagaStatus, StepState
from saga.errors import InvalidInput, SagaNotFound
from saga.storage.queries import Cursor, SagaFilter, find_saga, list_sagas
from tests.storage.rows import Rows

CURSOR = str(Cursor(datetime(2026, 1, 1, tzinfo=UTC), UUID(int=7)))


def names(connection: Connection, wanted: SagaFilter) -> list[str]:
    return [row.name for row in list_sagas(connection, wanted).rows]


def test_newest_first_with_everything_a_list_shows(connection: Connection, rows: Rows) -> None:
    old = rows.saga("refund", SagaStatus.COMPLETED, age=timedelta(hours=1))
    new = rows.saga("order", key="k", attributes={"tenant": 7}, version=3)
    rows.step(new, 1)
    rows.step(new, 2, StepState.RETRYING, name="charge")
    rows.step(new, 3, StepState.WAITING, kind="approval", name="big")
    first, second = list_sagas(connection).rows
    assert (first.id, first.name, first.version, first.key) == (new, "order", 3, "k")
    assert first.attributes == {"tenant": 7}
    assert first.doing == (("charge", "retrying"), ("big", "waiting"))
    assert (second.id, second.status, second.doing) == (old, SagaStatus.COMPLETED, ())
    assert second.ended_at is not None


def test_filters(connection: Connection, rows: Rows) -> None:
    rows.saga("a", age=timedelta(days=2), attributes={"tenant": 1, "vip": True})
    rows.saga("b", SagaStatus.FAILED, age=timedelta(hours=1), attributes={"tenant": 2})
    rows.saga("c", version=2)
    assert names(connection, SagaFilter()) == ["c", "b", "a"]
    assert names(connection, SagaFilter(name="b")) == ["b"]
    assert names(connection, SagaFilter(statuses=["failed"])) == ["b"]
    assert names(connection, SagaFilter(statuses=["failed", "running"])) == ["c", "b", "a"]
    assert names(connection, SagaFilter(version=2)) == ["c"]
    assert names(connection, SagaFilter(since=timedelta(hours=2))) == ["c", "b"]
    an_hour_ago = datetime.now(UTC) - timedelta(minutes=30)
    assert names(connection, SagaFilter(since=an_hour_ago)) == ["c"]
    assert names(connection, SagaFilter(attributes={"tenant": 1})) == ["a"]
    assert names(connection, SagaFilter(attributes={"tenant": 1, "vip": False})) == []


def test_pages_neither_repeat_nor_leave_out(connection: Connection, rows: Rows) -> None:
    moment = datetime.now(UTC) - timedelta(minutes=5)
    known = [rows.saga(created_at=moment) for _ in range(7)]
    seen: list[UUID] = []
    cursor: Cursor | None = None
    for _ in range(3):
        page = list_sagas(connection, limit=3, after=cursor)
        seen += [row.id for row in page.rows]
        rows.saga("a later one")
        cursor = page.next and Cursor.parse(str(page.next))
    assert cursor is None
    assert seen == sorted(known, reverse=True)


@pytest.mark.parametrize("text", ["", "nonsense", "ä", "eA", CURSOR[:-9], CURSOR + "a"])
def test_a_cursor_of_somebody_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="cursor: not one"):
        Cursor.parse(text)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_bounds(connection: Connection, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit: 1 to 1000"):
        list_sagas(connection, limit=limit)


def test_a_status_that_does_not_exist_is_named(connection: Connection) -> None:
    with pytest.raises(InvalidInput, match=r"status: one of running, .*not 'done'"):
        list_sagas(connection, SagaFilter(statuses=["done"]))


def test_a_saga_is_found_by_the_beginning_of_its_id(connection: Connection, rows: Rows) -> None:
    one = rows.saga(id=UUID("abcd0000-0000-4000-8000-000000000001"))
    two = rows.saga(id=UUID("abcd0000-0000-4000-8000-000000000002"))
    other = rows.saga(id=UUID("abce0000-0000-4000-8000-000000000003"))
    assert find_saga(connection, str(one)) == one
    assert find_saga(connection, str(two).upper()) == two
    assert find_saga(connection, "abce") == other
    with pytest.raises(InvalidInput, match=f"several sagas begin with abcd: {one}, {two}"):
        find_saga(connection, "abcd")
    with pytest.raises(SagaNotFound, match="no saga abcf"):
        find_saga(connection, "abcf")


@pytest.mark.parametrize("text", ["", "abc", "zzzz", "abcd'--", "a" * 33, "\x1b[2J"])
def test_what_cannot_be_an_id_is_refused(connection: Connection, text: str) -> None:
    with pytest.raises(InvalidInput, match="not the id of a saga"):
        find_saga(connection, text)
