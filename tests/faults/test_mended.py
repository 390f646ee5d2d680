"""What is retried after the code was mended asks with what the code says today, and only that."""

import asyncio
import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from saga import Permanent, Retry, StepFailed, Unknown, approval, current, scope
from saga.core.declare.definitions import SagaDefinition, StepDefinition
from saga.core.declare.registry import Registry, registry
from saga.core.rows import child_id
from tests.faults.arena import Arena
from tests.faults.workers import Worker

with registry.sandbox():
    from tests.faults import code_changed as code

ONCE = Retry(max_attempts=1)
Body = Callable[["Shop"], Any]


@dataclass
class Shop:
    """Steps that note what they were called with, and how they fail."""

    arena: Arena
    calls: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    keys: list[str] = field(default_factory=list[str])
    troubles: dict[str, type[Exception]] = field(default_factory=dict[str, type[Exception]])

    def __post_init__(self) -> None:
        self.code = Registry()
        self.pay, self.pay_better, self.tell, self.look = map(
            self._step, ("pay", "pay_better", "tell", "look")
        )

    def _step(self, name: str) -> StepDefinition[[Any], Any]:
        def act(what: Any) -> Any:
            self.calls.append((name, what))
            self.keys.append(current().idempotency_key)
            if name in self.troubles:
                raise self.troubles[name](f"{name} is out of order")
            return what

        made: StepDefinition[[Any], Any] = StepDefinition(
            act, name=name, retry=ONCE, on_unknown="retry"
        )
        self.code.add_step(made)
        return made

    def add(self, name: str, body: Body) -> SagaDefinition[[], Any]:
        """A saga of this name, from now on."""

        async def run() -> Any:
            return await body(self)

        made: SagaDefinition[[], Any] = SagaDefinition(run, name=name)
        self.code.add_saga(made)
        return made

    def start(self, body: Body, status: str = "failed") -> UUID:
        """A saga under the code of yesterday."""
        saga = self.arena.start(self.add("order", body), key="one").id
        self.drive(saga)
        assert self.arena.records.statuses()[saga] == status
        return saga

    def retry(self, saga: UUID, body: Body | None = None) -> None:
        """It is retried, and the code is that of today."""
        if body is not None:
            self.add("order", body)
        self.calls.clear()
        self.keys.clear()
        self.arena.client.operator("ann").retry(saga)
        self.drive(saga)

    def drive(self, saga: UUID) -> None:
        """Until nothing of it, or of its child, is ready."""
        with self.arena.inline(code=self.code) as process, self.arena.sweeper() as sweeper:
            for _ in range(3):
                for one in (saga, child_id(saga, 1), saga):
                    self.arena.drive(process, one)
                self.arena.records.query(
                    "UPDATE saga.step SET due_at = now() WHERE kind = 'child' AND due_at > now()"
                )
                sweeper.sweep()

    def status(self, saga: UUID) -> str:
        return self.arena.records.statuses()[saga]

    def states(self, saga: UUID) -> list[str]:
        rows = self.arena.records.query(
            "SELECT name, state FROM saga.step WHERE saga_id = %s ORDER BY position, undo", saga
        )
        return [f"{row.name} {row.state}" for row in rows]

    def note(self, saga: UUID) -> str:
        return self.arena.records.query("SELECT note FROM saga.saga WHERE id = %s", saga)[0].note


@pytest.fixture
def shop(arena: Arena) -> Generator[Shop]:
    shop = Shop(arena)
    shop.troubles["pay"] = Permanent
    yield shop
    arena.check()


async def _pays_tenfold(shop: Shop) -> Any:
    return await shop.pay(1000)


async def _pays(shop: Shop) -> Any:
    return await shop.pay(100)


def test_the_step_gets_what_the_mended_code_says(shop: Shop) -> None:
    saga = shop.start(_pays_tenfold)
    del shop.troubles["pay"]
    shop.retry(saga, _pays)
    assert shop.calls == [("pay", 100)]
    assert shop.arena.client.handle(saga).result(0) == 100


def test_what_fails_again_is_retried_again(shop: Shop) -> None:
    saga = shop.start(_pays_tenfold)
    for amount in (300, 200, 100):

        async def pays(shop: Shop, amount: int = amount) -> Any:
            return await shop.pay(amount)

        shop.retry(saga, pays)
        assert shop.calls == [("pay", amount)]
        assert shop.status(saga) == "failed"
    del shop.troubles["pay"]
    shop.retry(saga)
    assert shop.calls == [("pay", 100)]
    assert shop.status(saga) == "completed"


def test_the_same_arguments_keep_their_key(shop: Shop) -> None:
    saga = shop.start(_pays)
    keys = list(shop.keys)
    del shop.troubles["pay"]
    shop.retry(saga)
    assert shop.keys == keys


def test_nothing_runs_before_the_code_has_asked_for_it(shop: Shop) -> None:
    saga = shop.start(_pays_tenfold)
    shop.arena.client.operator("ann").retry(saga)
    assert shop.states(saga) == ["pay failed"]
    with shop.arena.sweeper() as sweeper:
        sweeper.sweep()
    assert shop.states(saga) == ["pay failed"]


def test_what_may_have_happened_is_not_asked_with_others(shop: Shop) -> None:
    shop.troubles["pay"] = Unknown
    saga = shop.start(_pays_tenfold)
    del shop.troubles["pay"]
    shop.retry(saga, _pays)
    assert shop.calls == []
    assert shop.status(saga) == "parked"
    for words in ("1000", "100", "may have had an effect", "same idempotency key", "saga cancel"):
        assert words in shop.note(saga)
    shop.retry(saga, _pays_tenfold)
    assert shop.calls == [("pay", 1000)]
    assert shop.status(saga) == "completed"


def test_what_may_have_happened_is_asked_again_with_the_same(shop: Shop) -> None:
    shop.troubles["pay"] = Unknown
    saga = shop.start(_pays)
    keys = set(shop.keys)
    del shop.troubles["pay"]
    shop.retry(saga)
    assert set(shop.keys) == keys
    assert shop.status(saga) == "completed"


def test_another_step_in_its_place(shop: Shop) -> None:
    async def pays_better(shop: Shop) -> Any:
        return await shop.pay_better(100)

    saga = shop.start(_pays_tenfold)
    shop.retry(saga, pays_better)
    assert shop.calls == [("pay_better", 100)]
    assert shop.states(saga) == ["pay_better succeeded"]


def test_a_step_before_it(shop: Shop) -> None:
    async def looks_first(shop: Shop) -> Any:
        return await shop.pay(await shop.look(100))

    saga = shop.start(_pays_tenfold)
    del shop.troubles["pay"]
    shop.retry(saga, looks_first)
    assert shop.calls == [("look", 100), ("pay", 100)]
    assert shop.status(saga) == "completed"


def test_what_the_code_wants_no_more_does_not_run(shop: Shop) -> None:
    async def pays_nothing(shop: Shop) -> Any:
        return 0

    saga = shop.start(_pays_tenfold)
    shop.retry(saga, pays_nothing)
    assert shop.calls == []
    assert shop.states(saga) == ["pay failed"]
    assert shop.status(saga) == "completed"


async def _tells_at_last(shop: Shop) -> Any:
    try:
        return await shop.pay(100)
    finally:
        await shop.tell("the end")


def test_what_a_finally_did_is_not_done_twice(shop: Shop) -> None:
    saga = shop.start(_tells_at_last)
    assert shop.states(saga) == ["pay failed", "tell succeeded"]
    del shop.troubles["pay"]
    shop.retry(saga)
    assert shop.calls == [("pay", 100)]
    assert shop.states(saga) == ["pay succeeded", "tell succeeded"]
    assert shop.status(saga) == "completed"


def test_what_a_finally_does_otherwise_is_done(shop: Shop) -> None:
    async def tells_more(shop: Shop) -> Any:
        paid = 0
        try:
            paid = await shop.pay(100)
        finally:
            await shop.tell(f"paid {paid}")
        return paid

    saga = shop.start(tells_more)
    del shop.troubles["pay"]
    shop.retry(saga)
    assert shop.calls == [("pay", 100), ("tell", "paid 100")]
    assert shop.states(saga) == ["pay succeeded", "tell succeeded", "tell succeeded"]
    assert len(set(shop.keys)) == 2


def test_a_finally_that_failed_as_well(shop: Shop) -> None:
    shop.troubles["tell"] = Unknown

    async def tells(shop: Shop) -> Any:
        try:
            return await shop.pay(100)
        finally:
            with contextlib.suppress(StepFailed):
                await shop.tell("the end")

    saga = shop.start(tells)
    told = shop.keys[-1]
    shop.troubles.clear()
    shop.retry(saga)
    assert shop.calls == [("pay", 100), ("tell", "the end")]
    assert shop.keys[-1] == told, "nobody knows whether it happened: it has the same key"
    assert shop.status(saga) == "completed"


def test_it_fails_and_goes_on_again_and_again(shop: Shop) -> None:
    saga = shop.start(_tells_at_last)
    for _ in range(3):
        shop.retry(saga)
        assert shop.calls == [("pay", 100)]
        assert shop.status(saga) == "failed"
    del shop.troubles["pay"]
    shop.retry(saga)
    assert shop.states(saga) == ["pay succeeded", "tell succeeded"]


async def _beside(shop: Shop) -> Any:
    async def other() -> Any:
        await shop.look(1)
        await asyncio.sleep(0.001)
        return await shop.tell("beside")

    paid, told = await asyncio.gather(shop.pay(100), other(), return_exceptions=True)
    if isinstance(paid, BaseException):
        raise paid
    return [paid, told, await shop.look(2)]


def test_a_branch_that_went_on(shop: Shop) -> None:
    saga = shop.start(_beside)
    assert "tell succeeded" in shop.states(saga)
    del shop.troubles["pay"]
    shop.retry(saga)
    assert shop.calls == [("pay", 100), ("look", 2)]
    assert shop.arena.client.handle(saga).result(0) == [100, "beside", 2]


def test_within_a_scope(shop: Shop) -> None:
    async def scoped(shop: Shop) -> Any:
        async with scope():
            await shop.look(1)
            return await shop.pay(100)

    saga = shop.start(scoped)
    del shop.troubles["pay"]
    shop.retry(saga)
    assert shop.calls == [("pay", 100)]
    assert shop.status(saga) == "completed"


def test_what_the_failure_cancelled_is_asked_anew(shop: Shop) -> None:
    def both(amount: int) -> Body:
        async def run(shop: Shop) -> Any:
            async with asyncio.TaskGroup() as group:
                group.create_task(approval("go", {"amount": 1}, timedelta(hours=1)))
                group.create_task(shop.pay(amount))

        return run

    saga = shop.start(both(1000))
    assert shop.states(saga) == ["go cancelled", "pay failed"]
    del shop.troubles["pay"]
    shop.retry(saga, both(100))
    assert shop.states(saga) == ["go waiting", "pay succeeded"]
    shop.arena.client.approve(saga, "go", by="ann")
    shop.drive(saga)
    assert shop.status(saga) == "completed"


def _with_child(shop: Shop, amount: int) -> Body:
    async def child(amount: int) -> Any:
        return await shop.pay(amount)

    made: SagaDefinition[[int], Any] = SagaDefinition(child, name="child")
    shop.code.add_saga(made)

    async def parent(shop: Shop) -> Any:
        return await made(amount)

    return parent


def test_a_child_goes_on_when_it_is_asked_for(shop: Shop) -> None:
    saga = shop.start(_with_child(shop, 100))
    child = child_id(saga, 1)
    del shop.troubles["pay"]
    shop.arena.client.operator("ann").retry(saga)
    assert shop.status(child) == "failed"
    shop.calls.clear()
    shop.drive(saga)
    assert shop.calls == [("pay", 100)]
    assert (shop.status(saga), shop.status(child)) == ("completed", "completed")


def test_a_child_is_not_asked_with_others(shop: Shop) -> None:
    saga = shop.start(_with_child(shop, 1000))
    del shop.troubles["pay"]
    shop.retry(saga, _with_child(shop, 100))
    assert shop.calls == []
    assert (shop.status(saga), shop.status(child_id(saga, 1))) == ("parked", "failed")
    assert "1000" in shop.note(saga)


def test_two_workers_ask_for_it_once(shop: Shop) -> None:
    saga = shop.start(_beside)
    del shop.troubles["pay"]
    shop.calls.clear()
    shop.arena.client.operator("ann").retry(saga)
    with (
        shop.arena.inline(code=shop.code) as one,
        shop.arena.inline(code=shop.code) as other,
    ):
        one.advance(saga)
        other.advance(saga)
    shop.drive(saga)
    assert shop.calls == [("pay", 100), ("look", 2)]
    assert shop.status(saga) == "completed"


# In workers that die


def _worker(arena: Arena, version: str, failpoints: str = "", **options: Any) -> Worker:
    modules = ["tests.faults.code_changed"]
    return arena.worker(failpoints, modules=modules, environment={"V": version}, **options)


def _failed(arena: Arena, count: int = 1) -> list[UUID]:
    """Sagas that failed under the code of yesterday, whose worker is gone, and are retried."""
    found = [arena.start(code.mended, 1, key=str(number)).id for number in range(count)]
    yesterday = _worker(arena, "1")
    assert set(arena.until_over(*found).values()) == {"failed"}
    yesterday.kill()
    for saga in found:
        arena.client.operator("ann").retry(saga)
    return found


def _assert_mended(arena: Arena, found: list[UUID]) -> None:
    assert set(arena.until_over(*found).values()) == {"completed"}
    assert {arena.client.handle(saga).result(0) for saga in found} == {1000}
    assert len(arena.ledger.applied) == 2 * len(found)
    arena.check()


@pytest.mark.parametrize("action", ["kill", "stop", "raise"])
@pytest.mark.parametrize("point", ["P19", "P20"])
def test_a_worker_dies_while_it_asks_again(arena: Arena, point: str, action: str) -> None:
    found = _failed(arena)
    victim = _worker(arena, "2", f"{point}={action}", concurrency=1, lease=1.5)
    if action == "kill":
        victim.await_death()
    elif action == "stop":
        victim.await_stop()
    if action != "raise":
        _worker(arena, "2")
    _assert_mended(arena, found)
    assert arena.has_passed(point)
    if action == "stop":
        victim.wake()
        arena.ready(victim)


def test_workers_die_one_after_the_other(arena: Arena) -> None:
    found = _failed(arena, 12)
    for _ in range(2):
        _worker(arena, "2")
    for _ in range(3):
        arena.replace_a_worker(modules=["tests.faults.code_changed"], environment={"V": "2"})
    _assert_mended(arena, found)


def test_all_messages_are_lost(arena: Arena) -> None:
    found = _failed(arena, 4)
    arena.lose_messages()
    for _ in range(2):
        _worker(arena, "2")
    _assert_mended(arena, found)
