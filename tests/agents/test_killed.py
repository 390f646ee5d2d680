"""A worker is killed wherever an agent may be: another goes on, and nothing is called twice."""

from collections import Counter
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from tests.agents import desk
from tests.faults.arena import Arena
from tests.faults.workers import Worker

pytestmark = pytest.mark.slow

CALLS = {"model": 3, "hold": 1, "mail": 1, "refund": 1}
BEFORE_IT_ASKS = 4
"""Calls: the model's first, two tools at the same time, and the model's second."""


def worker(arena: Arena, framework: ModuleType, failpoints: str = "", **options: Any) -> Worker:
    """One that runs the saga's code again at every await, and parks it if that asks otherwise."""
    return arena.worker(
        failpoints,
        modules=[framework.__name__],
        queues=list(desk.QUEUES),
        environment={"SAGA_CHECK_REPLAYS": "1"},
        **options,
    )


def started(arena: Arena, framework: ModuleType, cents: int = 500) -> UUID:
    return arena.start(framework.run, cents, key="one").id


def asks(arena: Arena, saga: UUID) -> None:
    """Until it asks a person."""
    arena.until(
        lambda: any(
            step.kind == "approval" and step.state == "waiting"
            for step in arena.records.steps(saga).values()
        ),
        "it asks for an approval",
    )


def effects(arena: Arena) -> Counter[str]:
    """How often each effect happened, in the eyes of the outside world."""
    return Counter(entry.name for entry in arena.ledger.entries if entry.applied)


def committed(arena: Arena, saga: UUID) -> Counter[str]:
    """How often each step has an outcome."""
    return Counter(
        name.rpartition(".")[2].rpartition(" ")[2]
        for key, step in arena.records.steps(saga).items()
        if step.kind == "step" and not key[1] and step.state == "succeeded"
        for name in [step.name]
    )


def result(arena: Arena, saga: UUID) -> str:
    assert arena.until_over(saga) == {saga: "completed"}
    return arena.client.handle(saga).result(timeout=30)


@pytest.mark.parametrize(("point", "call"), [("P6", 3), *(("P7", call) for call in range(1, 7))])
def test_killed_at_each_call(arena: Arena, framework: ModuleType, point: str, call: int) -> None:
    """Before it is made, and when it was made and nobody has written that down."""
    victim = worker(arena, framework, f"{point}=kill@{call}", concurrency=1)
    saga = started(arena, framework)
    if call > BEFORE_IT_ASKS:
        asks(arena, saga)
        arena.client.approve(saga, "refund", by="ann")
    victim.await_death()
    worker(arena, framework)
    if call <= BEFORE_IT_ASKS:
        asks(arena, saga)
        arena.client.approve(saga, "refund", by="ann")
    assert result(arena, saga) == "so: refund 500"
    assert effects(arena) == CALLS
    made = len(arena.ledger.asked("do"))
    assert made == sum(CALLS.values()) + (point == "P7")


@pytest.mark.parametrize("landing", [1, 3])
def test_killed_once_a_call_is_written_down(
    arena: Arena, framework: ModuleType, landing: int
) -> None:
    victim = worker(arena, framework, f"P10=kill@{landing}", concurrency=1)
    saga = started(arena, framework)
    victim.await_death()
    worker(arena, framework)
    asks(arena, saga)
    arena.client.approve(saga, "refund", by="ann")
    assert result(arena, saga) == "so: refund 500"
    assert effects(arena) == CALLS
    assert len(arena.ledger.asked("do")) == sum(CALLS.values())


def test_killed_in_the_middle_of_parallel_tools(arena: Arena, framework: ModuleType) -> None:
    """One is done, the other is on its way: only that one is asked for again."""
    gate = arena.ledger.hold("do", "mail")
    victim = worker(arena, framework)
    saga = started(arena, framework)
    arena.until(lambda: gate.arrived, "the mail is on its way")
    arena.until(lambda: effects(arena)["hold"], "the money is held, meanwhile")
    arena.until(lambda: committed(arena, saga)["hold"], "and that is written down")
    victim.kill()
    gate.open()
    worker(arena, framework)
    asks(arena, saga)
    arena.client.approve(saga, "refund", by="ann")
    assert result(arena, saga) == "so: refund 500"
    assert effects(arena) == CALLS
    assert len(arena.ledger.asked("do")) == sum(CALLS.values()) + 1


def test_each_worker_has_a_part(arena: Arena, framework: ModuleType) -> None:
    """One calls models, one pays, one does the rest: the run moves between them."""
    for queues in (["llm"], ["payments"], ["sagas", "default"]):
        arena.worker(modules=[framework.__name__], queues=queues)
    saga = started(arena, framework)
    asks(arena, saga)
    arena.client.approve(saga, "refund", by="ann")
    assert result(arena, saga) == "so: refund 500"
    assert effects(arena) == CALLS
    queues = {row.name: row.queue for row in arena.records.steps(saga).values()}
    assert {queues[name] for name in queues if "model" in name} == {"llm"}
    assert {queues[name] for name in queues if name.endswith((".hold", ".refund"))} == {"payments"}


def test_a_refusal_is_told_to_the_model(arena: Arena, framework: ModuleType) -> None:
    worker(arena, framework)
    saga = started(arena, framework)
    asks(arena, saga)
    arena.client.reject(saga, "refund", by="ann", reason="not that much")
    assert result(arena, saga) == "so: not that much"
    assert effects(arena) == {"model": 3, "hold": 1, "mail": 1}


def test_what_tools_did_is_undone_when_a_later_one_fails(
    arena: Arena, framework: ModuleType
) -> None:
    victim = worker(arena, framework, "P7U=kill@1", concurrency=1)
    saga = started(arena, framework, desk.DECLINED)
    asks(arena, saga)
    arena.client.approve(saga, "refund", by="ann")
    victim.await_death()
    worker(arena, framework)
    assert arena.until_over(saga) == {saga: "compensated"}
    assert effects(arena) == {"model": 2, "hold": 2, "mail": 2}  # done, and undone
