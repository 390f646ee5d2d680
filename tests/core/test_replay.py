"""Replay: a value that follows from the code and the journal alone."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.programs import interpreted
from tests.core.random_programs import programs, something_happens
from tests.core.world import World

MOST_EVENTS = 60


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs, data=st.data())
def test_any_program_replays(program: Any, data: st.DataObject) -> None:
    with World(interpreted, program) as world:
        while world.is_waiting and len(world.events) < MOST_EVENTS:
            something_happens(world, data)
        for _ in range(data.draw(st.integers(0, 2))):
            if any(row.is_underway for row in world.rows.values()):
                something_happens(world, data)
        world.check_replays()
        world.check_batches(data.draw(st.sets(st.integers(0, len(world.events)))))
        world.check_batches(())
