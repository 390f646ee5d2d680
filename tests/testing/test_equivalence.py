"""Random sagas go the same way in a world and in the real engine: statuses, results, errors, every
row of every saga and child, what stands and what was undone.
"""

import json
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from saga import Permanent, Retry, Unknown, current
from saga.client import requests
from saga.core.declare.registry import Registry
from saga.testing import World
from saga.testing.tables import Saga
from tests.core import programs
from tests.core.random_programs import programs as random_programs
from tests.testing.twin import Row, Twin, plain

ANSWERS = {"a": (3, 4), "p": (True, False)}
"""Nobody sends the signal b or decides about q."""
_EMPTY = (
    "SET session_replication_role = replica",  # history is append-only
    "TRUNCATE saga.saga, saga.step, saga.history, saga.signal, saga.worker, saga.audit",
    "SET session_replication_role = origin",
)
SOON = Retry(max_attempts=3, jitter=0.0)


def does(tag: int) -> int:
    """What a step does follows from its tag."""
    match tag:
        case 6:
            raise Permanent("as asked")
        case 7 if current().attempt < 3:
            raise ValueError("not yet")
        case 8:
            raise Unknown("the connection was cut")
        case 9 if current().attempt == 1:
            raise TimeoutError
        case _:
            return tag


def undoes(result: int | None, tag: int) -> None:
    if tag == 4 or (tag == 3 and current().attempt < 2):
        raise ValueError("cannot be undone")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Of the small language; its steps do what their tags say."""
    own = Registry()
    for step in (programs.plain, programs.undoable, programs.pivotal):
        monkeypatch.setattr(step, "function", does)
        monkeypatch.setattr(step, "retry", SOON)
        own.add_step(step)
    assert programs.undoable.undo is not None
    monkeypatch.setattr(programs.undoable.undo, "function", undoes)
    monkeypatch.setattr(programs.undoable.undo, "retry", SOON)
    for saga in (programs.inner, programs.interpreted):
        own.add_saga(saga)
    return own


def _empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in _EMPTY:
            connection.execute(statement.encode())


def _rows(saga: Saga) -> list[Row]:
    return [
        Row(
            row.position,
            row.undo,
            row.intent.kind,
            row.intent.name,
            row.state,
            row.in_doubt,
            row.attempt,
            row.event,
            row.after,
        )
        for row in saga.rows
    ]


def _in_world(registry: Registry, program: Any) -> tuple[UUID, dict[UUID, Any]]:
    with World(registry=registry) as world:
        for name, answers in ANSWERS.items():
            world.answer(name, *answers)
        saga = world.start(programs.interpreted(program))
        assert world._play is not None
        world._play.finish(saga.id)
        sagas = world._play.tables.sagas.values()
        return saga.id, {
            one.id: [
                one.status,
                plain(json.loads(one.result or "null")),
                plain(json.loads(one.error or "null")),
                plain(json.loads(one.exposed or "null")),
                _rows(one),
            ]
            for one in sagas
        }


def _in_postgres(url: str, registry: Registry, saga_id: UUID, program: Any) -> dict[UUID, Any]:
    _empty(url)
    twin = Twin(url, registry, ANSWERS)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(requests, "uuid4", lambda: saga_id)
            twin.finish(twin.start(programs.interpreted, program))
        sagas = {one: twin.saga(one) for one in twin.ids()}
        return {
            one: [
                row.status,
                plain(row.result),
                plain(row.error),
                plain(row.exposed),
                twin.rows(one),
            ]
            for one, row in sagas.items()
        }
    finally:
        twin.close()


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ],
    phases=[Phase.explicit, Phase.generate],
)
@given(program=random_programs)
@example(
    # Two waits end at once, and what the code makes of the first gives up the second.
    program=(
        "gather",
        [
            ("race", [("signal", "b", 20)]),
            ("settled", ("step", "child", 0), ("signal", "b", 20), ("signal", "b", 20)),
        ],
        True,
    )
)
def test_random_sagas_go_the_same_way(registry: Registry, database_url: str, program: Any) -> None:
    saga_id, world = _in_world(registry, program)
    assert world == _in_postgres(database_url, registry, saga_id, program)
