"""Sagas in a world without servers go as they do in production."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from saga import Conflict, Decision, InvalidInput, Permanent, SagaEnded, SagaFailed
from saga.engine.advance.shared_store import SharedStore
from saga.storage.hot.store import Store
from saga.testing import World
from saga.testing.store import MemoryStore
from saga.testing.worker import MemoryShared
from tests.faults.code import own_registry
from tests.testing import shop


def test_a_saga_runs_and_returns(world: World) -> None:
    saga = world.start(shop.order("lamp"))
    assert (saga.status, saga.result()) == ("completed", "one lamp shipped lamp")
    assert saga.stands == world.stands == ["reserve", "charge", "ship"]
    assert (saga.undone, saga.waits_for, saga.error) == ([], [], None)
    assert saga.exposed == {"parcel": "shipped lamp"}
    assert world.run(shop.order("desk")) == "one desk shipped desk"
    assert [one.status for one in world.sagas] == ["completed", "completed"]


def test_what_fails_is_undone_in_reverse(world: World) -> None:
    world.fail(shop.ship)
    saga = world.start(shop.order("lamp"))
    assert (saga.status, saga.stands, saga.undone) == ("compensated", [], ["charge", "reserve"])
    assert saga.error is not None
    assert (saga.error["type"], saga.error["step"], saga.error["name"]) == ("Permanent", 4, "ship")
    with pytest.raises(SagaFailed, match="saga order is compensated: Permanent: as the test"):
        saga.result()


def test_retries_take_their_time_and_no_more(world: World) -> None:
    began = world.now
    world.fail(shop.charge, ValueError("not yet"), times=2)
    saga = world.start(shop.order("lamp"))
    assert (saga.status, saga.attempts(shop.charge)) == ("completed", [3])
    assert world.now - began == timedelta(minutes=3)


def test_days_pass_when_they_are_told_to(world: World) -> None:
    saga = world.start(shop.large("lamp"))
    assert saga.waits_for == ["approval large order"]
    world.skip(days=2, hours=23)
    assert saga.status == "running"
    world.skip(hours=1)
    assert (saga.status, saga.undone) == ("compensated", ["reserve"])
    assert saga.error is not None
    assert saga.error["message"] == "late"


def test_people_decide(world: World) -> None:
    saga = world.start(shop.large("lamp"))
    with pytest.raises(Conflict, match="asks for no approval 'small'"):
        saga.approve("small")
    assert saga.approve("large order", by="grace", reason="why not") == 2
    assert saga.result() == "shipped lamp"
    with pytest.raises(Conflict):
        saga.reject("large order")
    other = world.start(shop.large("desk"))
    other.reject(by="grace")
    assert (other.status, other.undone) == ("compensated", ["reserve"])


def test_signals_come_when_they_are_sent(world: World) -> None:
    saga = world.start(shop.paid(2))
    saga.signal("paid", 3)
    assert saga.waits_for == ["signal paid"]
    saga.signal("paid", 4)
    assert saga.waits_for == ["timer sleep"]
    assert saga.result()[:2] == [3, 4]
    with pytest.raises(SagaEnded):
        saga.signal("paid", 5)


def test_answers_that_come_by_themselves() -> None:
    began = datetime(2026, 2, 27, 12, tzinfo=UTC)
    with World(registry=own_registry(shop), now=began) as world:
        world.answer("large order", False, Decision(True, by="grace"))
        world.answer("paid", 1, 2)
        assert world.start(shop.large("lamp")).status == "compensated"
        assert world.run(shop.large("lamp")) == "shipped lamp"
        assert world.run(shop.paid(2)) == [1, 2, "2026-02-28"]
        waiting = world.start(shop.paid(1))
        with pytest.raises(SagaFailed, match="paid is running, and waits for signal paid"):
            waiting.result()


def test_scopes_and_children(world: World) -> None:
    assert world.run(shop.tolerant("lamp")) == "all"
    parent = world.start(shop.parent("lamp"))
    assert parent.status == "compensated"
    assert (parent.stands, parent.undone) == ([], ["ship", "charge", "reserve"])
    world.fail(shop.ship)
    saga = world.start(shop.tolerant("desk"))
    assert (saga.result(), saga.undone) == ("without: Permanent", ["reserve"])


def test_past_a_pivot_a_person_decides(world: World) -> None:
    world.fail(shop.ship)
    saga = world.start(shop.delivery("lamp"))
    assert (saga.status, saga.waits_for) == ("running", ["person ship"])
    assert saga.stands == ["reserve", "hand_over"]


def test_outcomes_that_stay_unknown(world: World) -> None:
    world.lose(shop.charge, times=1)
    asked: list[int] = []

    def find(cents: int) -> str:
        asked.append(cents)
        return "found"

    world.replace(shop.find_payment, find)
    assert world.run(shop.order("lamp")) == "one lamp shipped lamp"
    assert asked == [300]
    world.time_out(shop.print_label)
    label = world.start(shop.labelled("lamp"))
    assert (label.status, label.waits_for, label.stands) == (
        "running",
        ["person print_label"],
        ["print_label"],
    )
    world.lose(shop.ship, happens=False)
    saga = world.start(shop.order("lamp"))
    assert (saga.status, saga.undone) == ("compensated", ["ship", "charge", "reserve"])


def test_undos_go_wrong_too(world: World) -> None:
    world.fail(shop.ship)
    world.fail(shop.refund, ValueError("closed"))
    saga = world.start(shop.order("lamp"))
    assert (saga.status, saga.stands, saga.undone) == (
        "partly_compensated",
        ["charge"],
        ["reserve"],
    )


def test_steps_are_replaced(world: World) -> None:
    calls: list[Any] = []

    async def free(cents: int) -> str:
        await asyncio.sleep(0)
        calls.append(cents)
        return "free"

    world.replace(shop.charge, free)
    world.replace(shop.ship, lambda item: f"carried {item}")
    assert world.run(shop.order("lamp")) == "one lamp carried lamp"
    assert calls == [300]
    world.replace(shop.ship, lambda item: 3)  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(SagaFailed, match="InvalidInput: ship"):
        world.run(shop.order("lamp"))
    with pytest.raises(InvalidInput, match="is no step, compensation or probe"):
        world.replace(len, len)


def test_a_transactional_step_gets_the_tests_connection() -> None:
    rows: list[Any] = []
    with World(registry=own_registry(shop), connection=rows) as world:
        saga = world.start(shop.entered("lamp"))
        assert saga.result() == "lamp"
        assert rows == [("lamp", f"{saga.id}:1")]


def test_cancelled_and_compensated_by_hand(world: World) -> None:
    saga = world.start(shop.large("lamp"))
    saga.cancel(reason="enough")
    assert (saga.status, saga.undone) == ("cancelled", ["reserve"])
    with pytest.raises(SagaEnded):
        saga.cancel()
    done = world.start(shop.order("lamp"))
    done.compensate(only=[4])
    assert (done.status, done.undone) == ("partly_compensated", ["ship"])
    done = world.start(shop.order("lamp"))
    done.compensate()
    assert (done.status, done.undone) == ("compensated", ["ship", "charge", "reserve"])


def test_chance_in_a_saga_is_found(world: World) -> None:
    saga = world.start(shop.chancy())
    assert saga.status == "parked"
    with pytest.raises(SagaFailed, match=r"random\.random.* at .*shop\.py:\d+"):
        saga.result()


def test_a_world_inside_a_running_loop(world: World) -> None:
    async def test() -> str:
        return world.run(shop.order("lamp"))

    assert asyncio.run(test()) == "one lamp shipped lamp"


def test_what_is_no_call_of_a_saga(world: World) -> None:
    call = shop.reserve("lamp")
    with pytest.raises(InvalidInput, match="is no call of a saga"):
        world.start(call)
    call.close()
    with pytest.raises(InvalidInput, match="order: item"):
        world.start(shop.order(3))  # pyright: ignore[reportArgumentType]


def test_the_errors_of_users_are_theirs(world: World) -> None:
    world.fail(shop.reserve, Permanent("sold out"))
    saga = world.start(shop.order("lamp"))
    assert (saga.status, saga.undone) == ("failed", [])


def test_the_memory_has_every_statement() -> None:
    """Of the engine's store, but for those that are made of others, or for what is too large."""
    statements = {name for name in vars(Store) if not name.startswith("_")}
    ours = {name for name in vars(MemoryStore) if not name.startswith("_")}
    assert statements - ours == {"load_large", "load_steps", "record_each"}


def test_the_memory_is_shared_in_every_way() -> None:
    """In which the advancer shares it: the others are the conductor's."""
    ways = {name for name in vars(SharedStore) if not name.startswith("_")}
    ours = {name for name in vars(MemoryShared) if not name.startswith("_")}
    housekeeping = {"batches", "call_soon", "close", "is_busy", "note_advancing", "plan_now"}
    assert ways - ours == housekeeping
