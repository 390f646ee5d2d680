"""A replay is held to the arguments of all that it asks for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from saga.core.declare.definitions import SagaDefinition, StepDefinition
from saga.core.loop.divergence import LONGEST
from saga.core.loop.events import Recorded
from saga.core.replay import Decision, Doubt, Run
from saga.core.verbs import approval, now, signal
from saga.errors import DefinitionError, Divergence
from tests.core.world import SAGA_ID, START, World

Body = SagaDefinition[[], Any]


def _pay(to: str, amount: int) -> str: ...


pay: StepDefinition[..., str] = StepDefinition(_pay, name="pay")


async def _order(item: str) -> str: ...


order: SagaDefinition[..., str] = SagaDefinition(_order, name="order")
order_2: SagaDefinition[..., str] = SagaDefinition(_order, name="order", version=2)


def _saga(body: Callable[[], Any]) -> Body:
    return SagaDefinition(body, name="changing")


def _asks(ask: Callable[[], Any]) -> Body:
    async def body() -> None:
        await ask()

    return _saga(body)


def _history(world: World, *, stored: bool = False, digests: bool = True) -> list[Recorded]:
    """What the journal holds: with the arguments as they are stored, or as 0.1.0 wrote it."""
    found: list[Recorded] = []
    for item in world.recorded(len(world.events)):
        intent = world.rows[item.position, item.undo].ask.intent
        held = not item.undo and intent.kind in ("step", "child", "approval")
        args = intent.args if held and (stored or not digests) else None
        found.append(item._replace(args=args, digest=item.digest if digests else None))
    return found


def _replayed(world: World, other: Body, recorded: list[Recorded]) -> Decision:
    run = Run(other, SAGA_ID, "{}", START, recorded)
    try:
        run.catch_up(world.events)
        return run.decide()
    finally:
        run.close()


def _parted(before: Body, after: Body) -> Divergence:
    """What an engine gets that reads the stored arguments when it is in doubt."""
    with World(before) as world:
        assert _replayed(world, before, _history(world)).commands == ()
        try:
            with pytest.raises(Divergence) as caught:
                _replayed(world, after, _history(world))
            if isinstance(caught.value, Doubt):
                with pytest.raises(Divergence) as caught:
                    _replayed(world, after, _history(world, stored=True))
        finally:
            world.run.close()
        return caught.value


DIFFERENT: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "a step's argument": (lambda: pay("ann", 1), lambda: pay("ann", 2)),
    "a child's input": (lambda: order("lamp"), lambda: order("desk")),
    "a child's version": (lambda: order("lamp"), lambda: order_2("lamp")),
    "what is to be approved": (
        lambda: approval("refund", {"cents": 100}),
        lambda: approval("refund", {"cents": 1000}),
    ),
    "how long an approval waits": (
        lambda: approval("refund", {"cents": 1}, timeout=timedelta(days=3)),
        lambda: approval("refund", {"cents": 1}, timeout=timedelta(days=5)),
    ),
    "whether an approval ends": (
        lambda: approval("refund"),
        lambda: approval("refund", timeout=timedelta(days=5)),
    ),
    "how long a signal is waited for": (
        lambda: signal("go", timeout=timedelta(seconds=1)),
        lambda: signal("go", timeout=timedelta(seconds=2)),
    ),
    "how long it sleeps": (lambda: asyncio.sleep(60), lambda: asyncio.sleep(61)),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_other_arguments_part_them(what: str) -> None:
    before, after = DIFFERENT[what]
    assert "from position 1 on" in _parted(_asks(before), _asks(after)).diff


def test_what_was_approved_is_what_is_paid() -> None:
    def flow(factor: int) -> Body:
        async def body() -> str:
            cents = factor
            answer = await approval("refund", {"cents": cents})
            return await pay("ann", cents) if answer.approved else "no"

        return _saga(body)

    parted = _parted(flow(100), flow(1000))
    assert parted.diff.splitlines()[-1] == ">        1  approval refund  approval refund"
    assert parted.arguments.splitlines() == [
        "",
        'at 1 its history has {"cents":100} within -1',
        '  and the code asks with {"cents":1000} within -1',
    ]


def test_lines_that_were_swapped() -> None:
    def receipts(*names: str) -> Body:
        async def body() -> None:
            await asyncio.gather(*(pay(name, 1) for name in names))

        return _saga(body)

    parted = _parted(receipts("ann", "bob"), receipts("bob", "ann"))
    assert ">        2  step pay  step pay" in parted.diff
    assert 'at 2 its history has {"to":"bob","amount":1}' in parted.arguments


def test_long_arguments_are_shown_where_they_part() -> None:
    text = "x" * 5000
    arguments = _parted(
        _asks(lambda: pay(text + "old" + text, 1)), _asks(lambda: pay(text + "new" + text, 1))
    ).arguments
    assert "xold" in arguments
    assert "xnew" in arguments
    assert len(arguments) < 3 * LONGEST


def test_a_deadline_of_the_loop_is_no_difference() -> None:
    async def body() -> None:
        deadline = asyncio.get_running_loop().time() + 60.1
        await pay("ann", 1)
        async with asyncio.timeout_at(deadline):
            await pay("bob", 1)
        await asyncio.sleep((now() - now()).total_seconds() + 0.3)

    with World(_saga(body)) as world:
        world.succeed("step pay", "a")
        world.succeed("step pay", "b")
        world.fire()
        world.check_replays()


# What today's code takes for the same


def test_a_parameter_that_was_added_with_a_default() -> None:
    def before(item: str) -> str: ...
    def after(item: str, gift: bool = False) -> str: ...

    old: StepDefinition[..., str] = StepDefinition(before, name="wrap")
    new: StepDefinition[..., str] = StepDefinition(after, name="wrap")
    with World(_asks(lambda: old("lamp"))) as world:
        with pytest.raises(Doubt) as caught:
            _replayed(world, _asks(lambda: new("lamp")), _history(world))
        assert caught.value.positions == (1,)
        history = _history(world, stored=True)
        assert _replayed(world, _asks(lambda: new("lamp")), history).commands == ()
        with pytest.raises(Divergence, match="position 1"):
            _replayed(world, _asks(lambda: new("lamp", gift=True)), history)


def test_a_default_that_was_changed_is_another_argument() -> None:
    def before(amount: int, currency: str = "EUR") -> str: ...
    def after(amount: int, currency: str = "USD") -> str: ...

    old: StepDefinition[..., str] = StepDefinition(before, name="pay")
    new: StepDefinition[..., str] = StepDefinition(after, name="pay")
    assert '"USD"' in _parted(_asks(lambda: old(5)), _asks(lambda: new(5))).arguments


def test_a_parameter_that_is_gone_is_a_difference() -> None:
    def before(item: str, gift: bool = False) -> str: ...
    def after(item: str) -> str: ...

    old: StepDefinition[..., str] = StepDefinition(before, name="wrap")
    new: StepDefinition[..., str] = StepDefinition(after, name="wrap")
    assert _parted(_asks(lambda: old("lamp", gift=True)), _asks(lambda: new("lamp")))


# What does not count


def _stamped(may_vary: Any, name: str = "tell") -> StepDefinition[..., str]:
    def tell(text: str, sent_at: float) -> str: ...

    return StepDefinition(tell, name=name, may_vary=may_vary)


def test_what_may_vary_does_not_count() -> None:
    step = _stamped(("sent_at",))
    with World(_asks(lambda: step("hi", 1.0))) as world:
        assert _replayed(world, _asks(lambda: step("hi", 2.0)), _history(world)).commands == ()
    parted = _parted(_asks(lambda: step("hi", 1.0)), _asks(lambda: step("ho", 2.0)))
    assert '{"text":"ho","sent_at":"(may vary)"}' in parted.arguments


def test_all_may_vary() -> None:
    step = _stamped(True)
    with World(_asks(lambda: step("hi", 1.0))) as world:
        assert _replayed(world, _asks(lambda: step("ho", 2.0)), _history(world)).commands == ()


def test_what_may_vary_may_be_said_later() -> None:
    old, new = _stamped(()), _stamped(("sent_at",))
    with World(_asks(lambda: old("hi", 1.0))) as world:
        history = _history(world, stored=True)
        assert _replayed(world, _asks(lambda: new("hi", 2.0)), history).commands == ()


@pytest.mark.parametrize(
    ("may_vary", "why"),
    [
        (("sent",), "tell: may_vary: 'sent' is no parameter; it has text, sent_at"),
        ("sent_at", r"tell: may_vary is a tuple of names, like \('sent_at',\), or True"),
    ],
)
def test_what_may_vary_is_a_parameter(may_vary: Any, why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        _stamped(may_vary)


# Journals of 0.1.0 have no digests


@pytest.mark.parametrize("what", list(DIFFERENT)[:4])
def test_without_a_digest_the_arguments_count(what: str) -> None:
    before, after = DIFFERENT[what]
    with World(_asks(before)) as world:
        history = _history(world, digests=False)
        assert _replayed(world, _asks(before), history).commands == ()
        with pytest.raises(Divergence):
            _replayed(world, _asks(after), history)


def test_without_a_digest_waits_go_on() -> None:
    for before, after in list(DIFFERENT.values())[4:]:
        with World(_asks(before)) as world:
            assert _replayed(world, _asks(after), _history(world, digests=False)).commands == ()


def test_without_a_digest_sets_may_stand_in_any_order() -> None:
    def paint(colours: set[str]) -> str: ...

    step: StepDefinition[..., str] = StepDefinition(paint)
    with World(_asks(lambda: step({"red", "blue", "green"}))) as world:
        history = [
            item._replace(args='{"colours":["red","green","blue"]}', digest=None)
            for item in _history(world)
        ]
        asked = _asks(lambda: step({"green", "red", "blue"}))
        assert _replayed(world, asked, history).commands == ()


# Any change at any position


class Model(BaseModel):
    text: str
    tags: frozenset[int]


@dataclass
class Point:
    x: float
    labels: list[str]


def _work(
    flag: bool, number: int, model: Model, point: Point, any_: Any, more: dict[str, int]
) -> None: ...


work: StepDefinition[..., None] = StepDefinition(_work, name="work")
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)
calls = st.tuples(
    st.booleans(),
    st.integers(-5, 5),
    st.builds(Model, text=st.text("ab"), tags=st.frozensets(st.integers(-5, 5))),
    st.builds(Point, st.floats(-2, 2), st.lists(st.text("ab"), max_size=3)),
    anything,
    st.dictionaries(st.text("ab"), st.integers(-5, 5)),
)


@given(asked=st.lists(calls, min_size=1, max_size=5), data=st.data())
def test_any_change_of_any_argument_parts_them(asked: list[Any], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(asked) - 1))
    other = list(asked[place])
    argument = data.draw(st.integers(0, len(other) - 1))
    other[argument] = data.draw(calls)[argument]
    changed = [*asked[:place], tuple(other), *asked[place + 1 :]]

    def doing(each: list[Any]) -> Body:
        async def body() -> None:
            for arguments in each:
                await work(*arguments)

        return _saga(body)

    with World(doing(asked)) as world:
        while world.is_waiting:
            world.succeed("step work")
        is_same = _told(asked[place]) == _told(other)
        if is_same:
            assert _replayed(world, doing(changed), _history(world)).commands == ()
            return
        with pytest.raises(Doubt) as doubt:
            _replayed(world, doing(changed), _history(world))
        assert doubt.value.positions == (place + 1,)
        with pytest.raises(Divergence, match=f"from position {place + 1} on"):
            _replayed(world, doing(changed), _history(world, stored=True))


def _told(call: Any) -> str:
    """The arguments as they would be written by hand."""
    flag, number, model, point, any_, more = call
    tags = sorted(model.tags)
    return json.dumps(
        [flag, number, model.text, tags, point.x, point.labels, any_, list(more.items())]
    )
