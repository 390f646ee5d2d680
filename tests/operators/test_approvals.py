"""A decision fits what was seen, once, or it changes nothing (I8)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from saga import Client, Conflict, InvalidInput, SagaNotFound
from tests.cli.commands import Done, run
from tests.operators.code import sagas
from tests.operators.stage import Stage
from tests.operators.test_conflicts import CROWD, Act, all_at_once


@pytest.fixture
def client(stage: Stage) -> Client:
    return stage.arena.client


def open_positions(stage: Stage, saga: UUID) -> list[int]:
    steps = stage.arena.records.steps(saga)
    return [position for (position, _), row in steps.items() if row.state == "waiting"]


def trace(stage: Stage, saga: UUID) -> list[Any]:
    """All that was ever changed about a saga."""
    query = "SELECT * FROM saga.history WHERE saga_id = %s ORDER BY seq"
    return [tuple(row) for row in stage.arena.records.query(query, saga)]


def refused(stage: Stage, saga: UUID, position: int | None, decide: Callable[[], object]) -> str:
    """A decision that changes nothing, and is written down; why."""
    before = trace(stage, saga)
    with pytest.raises(Conflict) as caught:
        decide()
    assert trace(stage, saga) == before
    last = stage.audit()[-1]
    assert (last.saga_id, last.position, last.refused) == (saga, position, str(caught.value))
    return str(caught.value)


def test_a_decision_that_is_sent_again_answers_nothing_else(stage: Stage, client: Client) -> None:
    saga = stage.start(sagas.rounds, [10, 20])
    assert client.approve(saga, "pay", by="bob", reason="fine") == 1
    stage.run()
    assert open_positions(stage, saga) == [3]
    before = trace(stage, saga)
    assert client.approve(saga, position=1, by="bob", reason="fine") == 1
    assert client.approve(saga, "pay", position=1, by="bob", reason="fine") == 1
    assert trace(stage, saga) == before
    assert [(row.action, row.position) for row in stage.audit() if row.actor == "bob"] == [
        ("approve", 1)
    ]
    assert client.reject(saga, position=3, by="bob") == 3
    stage.run()
    assert (stage.status(saga), stage.stands()) == ("completed", ["tell"])


@pytest.mark.parametrize("name", ["pay", None])
def test_without_a_position_the_second_question_is_not_answered(
    stage: Stage, client: Client, name: str | None
) -> None:
    """The reply was lost, and it is sent again as it was: the next question stays open."""
    saga = stage.start(sagas.rounds, [10, 20])
    client.approve(saga, name, by="bob")
    stage.run()
    why = refused(stage, saga, None, lambda: client.approve(saga, name, by="bob"))
    assert "say which position, of 1 (pay, approved by bob), 3 (pay, open)" in why
    assert open_positions(stage, saga) == [3]


def test_one_of_several_at_once(stage: Stage, client: Client) -> None:
    saga = stage.start(sagas.choices, [10, 20, 30])
    why = refused(stage, saga, None, lambda: client.approve(saga, "pay"))
    assert "say which position, of 1 (pay, open), 2 (pay, open), 3 (pay, open)" in why
    client.approve(saga, position=2)
    client.reject(saga, position=3)
    stage.run()
    assert open_positions(stage, saga) == [1]
    client.reject(saga, "pay", position=1)
    stage.run()
    assert client.handle(saga).result(0) == [False, True, False]


def test_another_decision_comes_too_late(stage: Stage, client: Client) -> None:
    saga = stage.start(sagas.rounds, [10, 20])
    client.approve(saga, "pay", by="bob")
    stage.run()
    others: list[Callable[[], object]] = [
        lambda: client.reject(saga, position=1, by="bob"),
        lambda: client.approve(saga, position=1, by="bob", reason="why not"),
        lambda: client.approve(saga, position=1, by="eve"),
    ]
    for decide in others:
        why = refused(stage, saga, 1, decide)
        assert "its approval 'pay' at position 1 was approved by bob already" in why


def test_what_is_not_asked(stage: Stage, client: Client) -> None:
    saga = stage.start(sagas.rounds, [10, 20])
    where = "; it asks for 'pay' at position 1"
    for position in (2, 3, 2**31 - 1):
        why = refused(stage, saga, position, lambda p=position: client.approve(saga, position=p))
        assert why.endswith(f"asks for no approval at position {position}{where}")
    why = refused(stage, saga, 1, lambda: client.approve(saga, "go", position=1))
    assert why.endswith(f"asks for no approval 'go' at position 1{where}")
    with pytest.raises(InvalidInput, match="position"):
        client.approve(saga, position=0)
    with pytest.raises(SagaNotFound):
        client.approve(UUID(int=7), position=1)


def test_when_its_time_is_up(stage: Stage, client: Client) -> None:
    """The deadline holds, whether the saga was told of it or not."""
    saga = stage.start(sagas.brief, 3600.0)
    stage.arena.records.query(
        "UPDATE saga.step SET due_at = now() - interval '1 second' WHERE saga_id = %s RETURNING 1",
        saga,
    )
    late = "its approval 'pay' at position 1 waited until its time was up"
    assert late in refused(stage, saga, 1, lambda: client.approve(saga, position=1))
    stage.sweeper.sweep()
    stage.run()
    assert client.handle(saga).result(0) is True
    assert late in refused(stage, saga, None, lambda: client.approve(saga, "pay"))


def test_a_double_click_in_a_crowd(stage: Stage, client: Client) -> None:
    saga = stage.start(sagas.rounds, [10, 20])
    acts: list[Act] = [lambda _, saga: client.approve(saga, position=1, by="bob")] * CROWD
    assert all_at_once(stage, acts, saga) == [None] * CROWD
    assert len([row for row in stage.audit() if row.actor == "bob"]) == 1
    stage.run()
    assert open_positions(stage, saga) == [3]


def test_the_answer_waits_for_the_row_and_looks_again(stage: Stage, client: Client) -> None:
    """Somebody answers between our look and our lock, and the saga asks anew: still not that."""
    saga = stage.start(sagas.rounds, [10, 20])
    with psycopg.connect(stage.arena.database_url) as holder:
        holder.execute("SELECT FROM saga.saga WHERE id = %s FOR UPDATE", (saga,))
        acts: list[Act] = [
            lambda _, saga: client.approve(saga, "pay", by="bob"),
            lambda _, saga: client.reject(saga, "pay", by="eve"),
            lambda _, __: (
                stage.arena.until(
                    lambda: len(waiting_for_locks(stage)) == 2, "both wait for the row"
                )
                and holder.commit()
            ),
        ]
        got = all_at_once(stage, acts, saga)
    assert sorted(map(type, got), key=str) == sorted([type(None), type(None), Conflict], key=str)
    stage.run()
    assert open_positions(stage, saga) == [
        stage.arena.records.query(
            "SELECT max(position) AS last FROM saga.step WHERE saga_id = %s", saga
        )[0].last
    ]


def waiting_for_locks(stage: Stage) -> list[Any]:
    return stage.arena.records.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'saga client' AND wait_event_type = 'Lock'"
    )


def command(stage: Stage, *arguments: str) -> Done:
    return run(
        *arguments,
        SAGA_DATABASE_URL=stage.arena.database_url,
        SAGA_BROKER_URL=stage.arena.broker_url,
    )


def test_the_command_line(stage: Stage) -> None:
    saga = stage.start(sagas.rounds, [10, 20])
    (row,) = command(stage, "approvals", "--json").json["approvals"]
    assert (row["saga_id"], row["position"], row["details"]) == (str(saga), 1, {"amount": 10})
    answer = ("approve", str(saga), "1", "--by", "bob")
    first = command(stage, *answer, "--json")
    assert (first.code, first.json["position"]) == (0, 1)
    stage.run()
    again = command(stage, *answer)
    assert (again.code, again.stdout) == (0, "approved by bob\n")
    shown = command(stage, "approvals", str(saga)).stdout
    assert '{"amount": 20}' in shown
    assert '{"amount": 10}' not in shown
    wrong = command(stage, "reject", str(saga), "--name", "pay", "--json")
    assert (wrong.code, wrong.error["type"]) == (1, "Conflict")
    assert command(stage, "reject", str(saga), "3", "--by", "eve").code == 0
    stage.run()
    assert stage.status(saga) == "completed"
    assert command(stage, "approvals").stdout == "Nothing waits for an approval.\n"
