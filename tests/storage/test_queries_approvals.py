"""Open approvals, and that a million sagas do not make their list slow."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, func, text

from saga.core.states import SagaStatus, StepState
from saga.errors import InvalidInput
from saga.storage.queries import Approval, ApprovalFilter, Cursor, approvals
from saga.storage.queries.approvals import waiting
from tests.storage.rows import Rows

WAITING = StepState.WAITING


def ask(rows: Rows, saga_id: UUID, position: int, name: str = "big", **columns: Any) -> None:
    rows.step(saga_id, position, WAITING, kind="approval", name=name, **columns)


def test_what_may_be_answered_now(connection: Connection, rows: Rows) -> None:
    saga_id = rows.saga("order")
    soon, past = func.now() + timedelta(hours=1), func.now() - timedelta(seconds=1)
    ask(rows, saga_id, 3, args={"sum": 5}, due_at=soon)
    ask(rows, saga_id, 4, due_at=past)
    rows.step(saga_id, 5, StepState.SUCCEEDED, kind="approval", name="big")
    rows.step(saga_id, 6, WAITING, kind="signal", name="big")
    rows.step(saga_id, 7, StepState.READY)
    page = approvals(connection)
    (row,) = page.rows
    assert page.next is None
    assert (row.saga_id, row.saga_name, row.saga_status) == (saga_id, "order", SagaStatus.RUNNING)
    assert (row.position, row.name, row.details) == (3, "big", {"sum": 5})
    assert row.deadline is not None
    assert row.deadline - row.asked_at == timedelta(hours=1)


def test_filters(connection: Connection, rows: Rows) -> None:
    order, parcel = rows.saga("order"), rows.saga("parcel")
    ask(rows, order, 1)
    ask(rows, order, 2, name="small")
    ask(rows, parcel, 1)

    def found(**wanted: Any) -> list[tuple[UUID, int]]:
        page = approvals(connection, ApprovalFilter(**wanted))
        return [(row.saga_id, row.position) for row in page.rows]

    assert found(name="big") == [(order, 1), (parcel, 1)]
    assert found(saga_id=order) == [(order, 1), (order, 2)]
    assert found(saga_name="parcel") == [(parcel, 1)]
    assert found(saga_name="parcel", name="small") == []


def test_pages(connection: Connection, rows: Rows) -> None:
    """Longest waiting first, also where several were asked for at one moment."""
    saga_id = rows.saga()
    moment = datetime.now(UTC) - timedelta(minutes=5)
    for position in (2, 1, 3, 5, 4):
        ask(rows, saga_id, position, asked_at=moment if position > 2 else func.now())
    seen: list[Approval] = []
    after = None
    while True:
        page = approvals(connection, limit=2, after=after)
        seen += page.rows
        after = page.next
        if after is None:
            break
        assert len(page.rows) == 2
    assert [row.position for row in seen] == [3, 4, 5, 2, 1]
    with pytest.raises(InvalidInput, match="limit"):
        approvals(connection, limit=0)


def test_each_page_is_the_end_of_a_partial_index(connection: Connection, rows: Rows) -> None:
    connection.execute(
        text("""
INSERT INTO saga.saga (id, name, version, queue, input)
SELECT gen_random_uuid(), 'order', 1, 'sagas', '{}' FROM generate_series(1, 30000)
""")
    )
    connection.execute(
        text("""
INSERT INTO saga.step (saga_id, position, undo, kind, name, state, args, after, asked_at)
SELECT id, p, false, CASE p WHEN 1 THEN 'timer' ELSE 'approval' END, 'big', 'waiting', '{}', 0,
       now() - random() * interval '1 day'
  FROM saga.saga, generate_series(1, 2) AS p
""")
    )
    rare = rows.saga()
    ask(rows, rare, 1, name="rare")
    connection.execute(text("ANALYZE saga.step, saga.saga"))
    after = approvals(connection, limit=20).next
    assert after is not None
    for wanted in (ApprovalFilter(), ApprovalFilter(name="rare")):
        plan = _plan(connection, wanted, after)
        assert "step_approval_idx" in plan, plan
        assert "Seq Scan" not in plan, plan
        assert "Sort" not in plan, plan
    assert "step_pkey" in _plan(connection, ApprovalFilter(saga_id=uuid4()), after)


def _plan(connection: Connection, wanted: ApprovalFilter, after: Cursor) -> str:
    query = waiting(wanted, after).limit(20)
    shown = query.compile(connection, compile_kwargs={"literal_binds": True})
    return "\n".join(connection.execute(text(f"EXPLAIN {shown}")).scalars())
