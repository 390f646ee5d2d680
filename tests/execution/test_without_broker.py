"""What a worker does by itself while its broker is away."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import psycopg
import pytest

from saga.core.rows import StepKey
from saga.execution import without_broker
from saga.execution.threads import Crew
from saga.execution.without_broker import WithoutBroker
from saga.storage.demand import Waiting
from tests.live.processes import until


class CrewHands:
    """Threads, which a job that raises would end."""

    def __init__(self) -> None:
        self.crew = Crew(1)

    def reads(self) -> bool:
        return False

    def free(self) -> int:
        return 1

    def take(self, found: Waiting, work: Callable[[], None]) -> None:
        del found
        self.crew.put(work)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_thread_outlives_what_a_step_raises(
    raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does with what comes by a message: else there is a slot less for good."""
    done: list[StepKey] = []

    def run_step(name: str, key: StepKey) -> None:
        done.append(key)
        raise raised

    catalog = SimpleNamespace(sagas=list, names=lambda: ["pack"])
    process: Any = SimpleNamespace(run_step=run_step, catalog=catalog)
    steps = [Waiting(StepKey(uuid4(), 1, False), "pack") for _ in range(2)]
    left = list(steps)

    def one_more(*_: object) -> list[Waiting]:
        return [left.pop()]

    monkeypatch.setattr(without_broker, "waiting", one_more)
    hands = CrewHands()
    helper = WithoutBroker(cast("Any", None), "", lambda: process, lambda: ["sagas"], hands)
    connection = cast("psycopg.Connection", None)
    for _ in steps:
        assert helper._find(connection) == 1
    until(lambda: len(done) == len(steps) and hands.crew.is_idle, "both are done by one thread")
    assert not helper._in_hand
    hands.crew.close()
