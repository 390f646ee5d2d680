"""Lists of sagas: filters, and pages that stay right while sagas are started."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection

from saga.core.states import SagaStatus, StepState
from saga.errors import InvalidInput, SagaNotFound
from saga.storage.queries import Cursor, SagaFilter, find_saga, list_sagas, stats
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


def test_where_a_saga_stands(connection: Connection, rows: Rows) -> None:
    """Of one step all of it must hold; of a saga that has ended, its own error tells."""
    declined = {"type": "Declined", "message": "Card of Ann", "step": 1, "name": "pay"}
    rows.saga("ended", SagaStatus.FAILED, error=declined)
    blocked = rows.saga("blocked", SagaStatus.PARTLY_COMPENSATED)
    rows.step(blocked, 1, StepState.BLOCKED, undo=True, name="unpay", error=declined)
    asks = rows.saga("asks")
    rows.step(asks, 1, name="pay")
    rows.step(asks, 2, StepState.WAITING, kind="approval", name="big")
    rows.step(asks, 3, StepState.READY, name="mail")
    trying = rows.saga("trying")
    path = [StepState.READY, StepState.RUNNING, StepState.RETRYING]
    rows.step(trying, 1, path=path, name="pay", reason="SMTPError: 450 later")
    doubtful = rows.saga("doubtful", parent_id=asks, parent_position=4)
    path = [StepState.READY, StepState.RUNNING, StepState.UNKNOWN]
    rows.step(doubtful, 1, path=path, name="wire", reason="Unknown: no 50% answer")
    for wanted, found in [
        (SagaFilter(waits_for="unknown"), ["doubtful"]),
        (SagaFilter(error="UNKNOWN*answer"), ["doubtful"]),
        (SagaFilter(error="no 5*% answer"), ["doubtful"]),
        (SagaFilter(error="answer*unknown"), []),
        (SagaFilter(error="declined*", roots=True), ["blocked", "ended"]),
        (SagaFilter(waits_for="unknown", roots=True), []),
        (SagaFilter(step="pay"), ["trying", "ended"]),
        (SagaFilter(step="unpay"), ["blocked"]),
        (SagaFilter(error="card of"), ["blocked", "ended"]),
        (SagaFilter(error="declined: card", statuses=["failed"]), ["ended"]),
        (SagaFilter(error="smtperror"), ["trying"]),
        (SagaFilter(error="100%"), []),
        (SagaFilter(step="pay", error="Declined"), ["ended"]),
        (SagaFilter(step="unpay", error="SMTP"), []),
        (SagaFilter(waits_for="approval"), ["asks"]),
        (SagaFilter(waits_for="approval:big"), ["asks"]),
        (SagaFilter(waits_for="big"), ["asks"]),
        (SagaFilter(waits_for="signal"), []),
        (SagaFilter(waits_for="worker", step="mail"), ["asks"]),
        (SagaFilter(waits_for="worker", step="big"), []),
        (SagaFilter(waits_for="retry"), ["trying"]),
        (SagaFilter(waits_for="person"), ["blocked"]),
    ]:
        assert names(connection, wanted) == found, wanted


def test_times(connection: Connection, rows: Rows) -> None:
    rows.saga("old", age=timedelta(days=2))
    rows.saga("new")
    for wanted, found in [
        (SagaFilter(since="3d"), ["new", "old"]),
        (SagaFilter(until="1d"), ["old"]),
        (SagaFilter(older_than="1d"), ["old"]),
        (SagaFilter(older_than=timedelta(days=3)), []),
        (SagaFilter(since="3d", until="2020-01-01"), []),
    ]:
        assert names(connection, wanted) == found, wanted
    for wrong, field in [
        (SagaFilter(since="soon"), "since: want a duration"),
        (SagaFilter(until=datetime(2026, 1, 1)), "until: a time with its zone"),  # noqa: DTZ001
        (SagaFilter(older_than="2026-01-01"), "older_than: a duration"),
        (SagaFilter(since=timedelta(days=10**6)), "since: longer ago"),
        (SagaFilter(attributes=["amount"]), "attribute: want name=value"),
        (SagaFilter(attributes=["amount>=true"]), "attribute: a range is one of"),
        (SagaFilter(waits_for=""), "waits_for: approval, "),
    ]:
        with pytest.raises(InvalidInput, match=field):
            names(connection, wrong)


def test_ranges_of_attributes(connection: Connection, rows: Rows) -> None:
    rows.saga("text", attributes={"amount": "10", 'odd "name"': 1})
    rows.saga("low", attributes={"amount": 9.5, "day": "2026-01-31"})
    rows.saga("high", attributes={"amount": 10, "day": "2026-02-01"})
    rows.saga("none")
    for attributes, found in [
        (["amount>=10"], ["high"]),
        (["amount>9", "amount<10"], ["low"]),
        (["amount<=10"], ["high", "low"]),
        (["amount=10"], ["high"]),
        (['amount="10"'], ["text"]),
        (['amount>"1"'], ["text"]),
        (["day<2026-02-01"], ["low"]),
        (['odd "name">=1'], ["text"]),
        (["amount>-1e3"], ["high", "low"]),
    ]:
        assert names(connection, SagaFilter(attributes=attributes)) == found, attributes


def test_a_saga_is_found_by_the_beginning_of_its_id(connection: Connection, rows: Rows) -> None:
    one = rows.saga("b", id=UUID("abcd0000-0000-4000-8000-000000000001"))
    two = rows.saga("a", id=UUID("abcd0000-0000-4000-8000-000000000002"))
    other = rows.saga(id=UUID("abce0000-0000-4000-8000-000000000003"))
    assert find_saga(connection, str(one)) == one
    assert find_saga(connection, str(two).upper()) == two
    assert find_saga(connection, "abce") == other
    with pytest.raises(InvalidInput, match=f"several sagas have 'abcd' .*: b {one}, a {two}"):
        find_saga(connection, "abcd")
    with pytest.raises(SagaNotFound, match="no saga has the id or the key 'abcf'"):
        find_saga(connection, "abcf")


def test_a_saga_is_found_by_its_key(connection: Connection, rows: Rows) -> None:
    one = rows.saga("order", key="o-1")
    other = rows.saga("parcel", key=" shared ")
    third = rows.saga("order", key=" shared ")
    assert find_saga(connection, "o-1") == one
    with pytest.raises(InvalidInput, match=f"order {third}, parcel {other}"):
        find_saga(connection, " shared ")
    begins = rows.saga("order", key=str(other)[:8])
    with pytest.raises(InvalidInput, match=f"parcel {other}, order {begins}"):
        find_saga(connection, str(other)[:8])
    rows.saga("order", key=str(other))
    assert find_saga(connection, str(other)) == other  # an id is nothing else


@pytest.mark.parametrize("text", ["", "abc", "zzzz", "abcd'--", "a" * 33, "\x1b[2J", "\0"])
def test_what_cannot_be_an_id_is_not_found(connection: Connection, text: str) -> None:
    with pytest.raises(SagaNotFound, match="no saga has the id or the key"):
        find_saga(connection, text)


def test_counts(connection: Connection, rows: Rows) -> None:
    declined = {"type": "Declined", "message": "no\nmoney", "step": 1, "name": "pay"}
    for _ in range(2):
        rows.saga("order", SagaStatus.FAILED, error=declined)
    busy = rows.saga("order")
    rows.step(busy, 1, StepState.READY, name="mail", queue="slow")
    rows.step(busy, 2, StepState.READY, name="pay", queue="fast")
    rows.saga("parcel", SagaStatus.COMPLETED)

    def counted(*by: str, **wanted: Any) -> list[tuple[Any, ...]]:
        return [(*row.by, row.count) for row in stats(connection, SagaFilter(**wanted), by)]

    assert counted("status") == [("failed", 2), ("completed", 1), ("running", 1)]
    assert counted("name", "status", name="parcel") == [("parcel", "completed", 1)]
    assert counted("step") == [("pay", 3), ("mail", 1), (None, 1)]
    assert counted("error") == [("Declined: no", 2), (None, 2)]
    assert counted("queue") == [("sagas", 3), ("fast", 1), ("slow", 1)]
    assert counted("queue", step="mail") == [("slow", 1)]
    assert counted() == [(4,)]
    with pytest.raises(InvalidInput, match="by: each of status"):
        counted("colour")


def test_errors_that_differ_in_numbers_are_one_kind_if_they_are_many(
    connection: Connection, rows: Rows
) -> None:
    def fail(*messages: str) -> None:
        for message in messages:
            rows.saga("order", SagaStatus.FAILED, error={"type": "E", "message": message})

    def counted() -> dict[str | None, int]:
        return {row.by[0]: row.count for row in stats(connection, None, ["error"])}

    fail("HTTP 404", "HTTP 503", "HTTP 503", *(f"order {n} at 0xf{n}" for n in range(5)))
    assert len(counted()) == 7
    fail("order 17 at 0xabc", "order 17 at 0xabc")
    assert counted() == {"E: order * at *": 7, "E: HTTP 503": 2, "E: HTTP 404": 1}
    named = stats(connection, SagaFilter(error="E: order * at *"), ["name", "error"])
    assert [(*row.by, row.count) for row in named] == [("order", "E: order * at *", 7)]
