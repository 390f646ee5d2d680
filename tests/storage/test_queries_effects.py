"""The ledger: what was done to the outside world, and what of it stands."""

import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection

from saga.core.states import StepState
from saga.errors import InvalidInput
from saga.storage.queries import Cursor, EffectFilter, effects
from tests.storage.rows import Rows

READY, RUNNING, UNKNOWN = StepState.READY, StepState.RUNNING, StepState.UNKNOWN
SUCCEEDED, FAILED, RETRYING = StepState.SUCCEEDED, StepState.FAILED, StepState.RETRYING


@pytest.mark.parametrize(
    ("path", "columns", "outcome", "standing"),
    [
        ([READY, RUNNING], {}, "claimed", False),
        ([READY, RUNNING], {"in_doubt": True}, "unknown", True),
        ([READY, RUNNING, RETRYING], {}, "claimed", False),
        ([READY, RUNNING, RETRYING], {"in_doubt": True}, "unknown", True),
        ([READY, RUNNING, RETRYING, READY], {}, "claimed", False),
        ([READY, RUNNING, UNKNOWN], {"in_doubt": True}, "unknown", True),
        ([READY, RUNNING, StepState.BLOCKED], {"in_doubt": True}, "unknown", True),
        ([READY, RUNNING, SUCCEEDED], {"result": {"id": 1}}, "succeeded", True),
        ([READY, RUNNING, FAILED], {}, "failed", False),
        ([READY, RUNNING, FAILED], {"in_doubt": True}, "unknown", True),
        ([READY, RUNNING, RETRYING, StepState.CANCELLED], {}, "failed", False),
        ([READY, RUNNING, StepState.BLOCKED, StepState.SKIPPED], {}, "failed", False),
    ],
)
def test_each_outcome(
    connection: Connection,
    rows: Rows,
    path: list[StepState],
    columns: dict[str, Any],
    outcome: str,
    standing: bool,
) -> None:
    saga_id = rows.saga()
    rows.step(saga_id, 1, path=path, compensation="release", **columns)
    (effect,) = effects(connection, EffectFilter(saga_id)).rows
    assert (effect.outcome, effect.standing) == (outcome, standing)
    assert bool(effects(connection, EffectFilter(saga_id, standing=True)).rows) == standing
    assert effects(connection, EffectFilter(saga_id, outcome=outcome)).rows == (effect,)


def test_an_entry(connection: Connection, rows: Rows) -> None:
    saga_id = rows.saga("order")
    rows.step(saga_id, 3, name="charge", args={"sum": 5, "item": "a"}, result={"receipt": "r1"})
    (effect,) = effects(connection, EffectFilter(saga_id)).rows
    assert effect.key == f"{saga_id}:3"
    assert (effect.saga_name, effect.step, effect.attempts) == ("order", "charge", 1)
    assert effect.receipt == {"receipt": "r1"}
    assert effect.compensation is None
    # jsonb's own text: keys by length, then by bytes.
    text = json.dumps({"sum": 5, "item": "a"})
    assert effect.args_hash == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("undo", "outcome", "standing"),
    [
        (SUCCEEDED, "compensated", False),
        (StepState.BLOCKED, "succeeded", True),
        (StepState.SKIPPED, "succeeded", True),
        (RUNNING, "succeeded", True),
        (READY, "succeeded", True),
    ],
)
def test_an_undo_counts_once_it_succeeded(
    connection: Connection, rows: Rows, undo: StepState, outcome: str, standing: bool
) -> None:
    saga_id = rows.saga()
    rows.step(saga_id, 1, compensation="release")
    rows.step(saga_id, 1, undo, undo=True, name="release")
    (effect,) = effects(connection, EffectFilter(saga_id)).rows
    assert (effect.outcome, effect.standing, effect.undo) == (outcome, standing, undo)


def test_an_effect_in_doubt_that_was_undone_does_not_stand(
    connection: Connection, rows: Rows
) -> None:
    saga_id = rows.saga()
    rows.step(saga_id, 1, path=[READY, RUNNING, UNKNOWN, FAILED], in_doubt=True)
    rows.step(saga_id, 1, undo=True, name="release")
    (effect,) = effects(connection, EffectFilter(saga_id)).rows
    assert (effect.outcome, effect.standing) == ("compensated", False)


def test_what_never_began_is_no_effect(connection: Connection, rows: Rows) -> None:
    saga_id = rows.saga()
    rows.step(saga_id, 1, READY)
    rows.step(saga_id, 2, path=[READY, StepState.CANCELLED])
    rows.step(saga_id, 3, kind="timer", name="sleep")
    rows.step(saga_id, 4, kind="approval", name="big")
    rows.step(saga_id, 5, name="look", read_only=True)
    assert effects(connection).rows == ()


def test_of_one_saga_by_position_of_all_newest_first(connection: Connection, rows: Rows) -> None:
    one, two = rows.saga(), rows.saga()
    for position in (1, 2):
        for saga_id in (one, two):
            rows.step(saga_id, position)

    def keys(saga_id: UUID | None) -> list[str]:
        seen: list[str] = []
        cursor: Cursor | None = None
        while True:
            page = effects(connection, EffectFilter(saga_id), limit=1, after=cursor)
            seen += [effect.key for effect in page.rows]
            if page.next is None:
                return seen
            cursor = Cursor.parse(str(page.next))

    assert keys(one) == [f"{one}:1", f"{one}:2"]
    assert keys(None) == [f"{two}:2", f"{one}:2", f"{two}:1", f"{one}:1"]


def test_since_and_by_name(connection: Connection, rows: Rows) -> None:
    saga_id = rows.saga()
    rows.step(saga_id, 1, name="charge")
    rows.step(saga_id, 2, name="mail")
    assert len(effects(connection, EffectFilter(since=timedelta(minutes=1))).rows) == 2
    assert effects(connection, EffectFilter(since=timedelta(0))).rows == ()
    (mail,) = effects(connection, EffectFilter(name="mail")).rows
    assert mail.position == 2


def test_an_outcome_that_does_not_exist(connection: Connection) -> None:
    with pytest.raises(InvalidInput, match=r"outcome: one of claimed, .*not 'done'"):
        effects(connection, EffectFilter(outcome="done"))
