"""Everything that can go wrong goes wrong, one after the other."""

import re
from collections import Counter

import pytest

from saga import Divergence, current
from saga.testing import World
from tests.testing import shop


def test_an_order_is_whole_or_nothing(world: World) -> None:
    points: list[str] = []
    for crash in world.crashes(shop.order("lamp")):
        assert crash.status == "completed", crash
        points.append(crash.point)
    kinds = Counter(re.sub(r"\d+|:.*", "", point).split()[-1] for point in points)
    assert kinds.keys() == {"wrong", "write", "lost", "doubled", "late"}
    assert len(points) > 50


def test_a_failing_order_leaves_nothing(world: World) -> None:
    world.fail(shop.ship)
    for crash in world.crashes(shop.order("lamp")):
        assert (crash.status, crash.stands) == ("compensated", []), crash
        assert crash.undone in (["charge", "reserve"], ["ship", "charge", "reserve"]), crash


def test_children_scopes_answers_and_time(world: World) -> None:
    world.answer("large order", True)
    world.answer("paid", 1, 2)
    for crash in world.crashes(shop.parent("lamp")):
        assert (crash.status, crash.stands) == ("compensated", []), crash
    assert {crash.result() for crash in world.crashes(shop.large("lamp"))} == {"shipped lamp"}
    assert {crash.result()[1] for crash in world.crashes(shop.paid(2))} == {2}
    world.fail(shop.ship, times=1)
    for crash in world.crashes(shop.tolerant("lamp")):
        assert crash.result() in ("without: Permanent", "all"), crash


def test_a_key_is_the_same_in_every_attempt(world: World) -> None:
    """A step may run twice, with one key; never twice where the worker was not killed."""
    keys: Counter[str] = Counter()

    def ship(item: str) -> str:
        keys[current().idempotency_key] += 1
        return item

    world.replace(shop.ship, ship)
    twice = 0
    for crash in world.crashes(shop.order("lamp")):
        assert len(keys) == 1, crash
        assert sum(keys.values()) <= (2 if "killed" in crash.point else 1), crash
        twice += sum(keys.values()) > 1
        keys.clear()
    assert twice > 0, "killed between the effect and the word of it"


def test_an_effect_that_comes_twice_is_found(world: World) -> None:
    """What users write these loops for: here nobody looks at the key."""
    booked: list[str] = []

    def ship(item: str) -> str:
        booked.append(item)
        return item

    world.replace(shop.ship, ship)
    found: list[str] = []
    for crash in world.crashes(shop.order("lamp")):
        found += [crash.point] * (len(booked) > 1)
        booked.clear()
    assert found[0].startswith("killed before write"), found


def test_a_person_is_asked_where_nobody_knows(world: World) -> None:
    ends = Counter(crash.status for crash in world.crashes(shop.labelled("lamp")))
    assert ends["running"] > 0, "killed while the label was printed"
    assert set(ends) == {"running", "completed"}


def test_code_that_does_not_fit_its_history_is_told(world: World) -> None:
    with pytest.raises(Divergence, match=r"killed .* is parked"):
        list(world.crashes(shop.chancy()))


def test_a_hundred_points_of_ten_steps(world: World) -> None:
    assert sum(crash.status == "completed" for crash in world.crashes(shop.ten())) > 100
