"""A canvas of Celery's as a saga: the same results, and what cannot be carried over is refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain, chord, group

import saga
from saga.core.declare.registry import registry
from saga.errors import DefinitionError
from saga.testing import World

app: Any = Celery("canvas", broker="memory://", backend="cache+memory://", set_as_current=False)
app.conf.task_always_eager = True
app.conf.task_eager_propagates = True


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def double(x: int) -> int:
    return 2 * x


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task
def hello(name: str = "you") -> str:
    return f"hello {name}"


@app.task
def refuse(x: int) -> int:
    raise ValueError(x)


@app.task
def take_back(result: int | None, x: int, y: int) -> None: ...


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    with registry.sandbox():
        yield


CANVASES: list[tuple[Any, list[Any]]] = [
    (add.s(1, 2), []),
    (add.s(2), [1]),
    (chain(add.s(1, 2), double.s()), []),
    (add.s(1, 2) | double.s() | add.s(10), []),
    (chain(double.s(), double.s()), [3]),
    (chain(add.s(1, 2), hello.si(name="ada")), []),
    (group(add.s(1, 1), add.s(2, 2)), []),
    (group(double.s(), double.s()), [4]),
    (chord([add.s(1, 1), add.s(2, 2)], total.s()), []),
    (chord(group(double.s(), double.s()), total.s()), [5]),
    (group(add.s(1, 1), add.s(2, 2)) | total.s() | double.s(), []),
    (chain(add.s(1, 1), group(add.s(1), add.s(2)), total.s()), []),
    (chain(group(add.s(1, 1), chain(add.s(1, 1), double.s())), total.s()), []),
    (group(chain(add.s(1, 1), double.s()), hello.si()), []),
]


@pytest.mark.parametrize(("made", "args"), CANVASES, ids=[str(one) for one, _ in CANVASES])
def test_it_returns_what_the_canvas_returns(made: Any, args: list[Any]) -> None:
    wanted = made.clone().apply(tuple(args)).get()
    flow = saga.canvas("flow", made)
    with World() as world:
        assert world.start(flow(args)).result() == wanted


def test_each_task_is_a_step_of_its_name() -> None:
    saga.canvas("flow", chain(add.s(1, 2), double.s()))
    assert [step.name for step in registry.steps()] == [add.name, double.name]


def test_what_was_done_is_undone_when_a_later_one_fails() -> None:
    saga.step(add, compensation=take_back)
    saga.step(refuse, retry=saga.Retry(max_attempts=1))
    flow = saga.canvas("flow", group(add.s(1, 1), add.s(2, 2)) | total.s() | refuse.s())
    with World() as world:
        run = world.start(flow())
        assert run.status == "compensated"
        assert len(world.undone) == 2
        assert world.stands == [total.name]


REFUSED: list[tuple[Any, str]] = [
    (add.s(1, 2).set(countdown=3), r"add: countdown cannot be carried over: write a saga with"),
    (add.s(1, 2).set(queue="x"), r"queue cannot be carried over: give the step its queue"),
    (chain(add.s(1, 2), double.s().on_error(hello.s())), "link_error cannot be carried over"),
    (add.map([1, 2]), "celery.map cannot be carried over: use a group"),
    (add.chunks([(1, 2)], 1), "cannot be carried over"),
    (7, "want a signature, a chain, a group or a chord"),
    ({"task": "far.away", "args": [], "kwargs": {}, "options": {}}, "only its name is known"),
]


@pytest.mark.parametrize(("made", "why"), REFUSED, ids=str)
def test_what_cannot_be_carried_over(made: Any, why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        saga.canvas("flow", made)
