"""Replay: a value that follows from the code and the journal alone."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.programs import interpreted, programs
from tests.core.world import Row, World

MOST_EVENTS = 60


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs, data=st.data())
def test_any_program_replays(program: Any, data: st.DataObject) -> None:
    with World(interpreted, program) as world:
        while world.is_waiting and len(world.events) < MOST_EVENTS:
            _something_happens(world, data)
        for _ in range(data.draw(st.integers(0, 2))):
            if any(row.is_underway for row in world.rows.values()):
                _something_happens(world, data)
        world.check_replays()
        world.check_batches(data.draw(st.sets(st.integers(0, len(world.events)))))
        world.check_batches(())


def _something_happens(world: World, data: st.DataObject) -> None:
    rows = [row for row in world.rows.values() if row.is_underway]
    row = data.draw(st.sampled_from(rows))
    if row.ask.intent.kind in ("step", "child"):
        _settle(world, row, data)
    elif row.ask.intent.kind == "timer":
        world.fire(row.ask.position)
    elif row.ask.intent.kind == "approval":
        answer = {"approved": data.draw(st.booleans()), "by": "ann"}
        if data.draw(st.booleans()):
            world.succeed(row.ask.position, answer)
        else:
            world.fire(row.ask.position)
    elif row.ask.due is not None and data.draw(st.booleans()):
        world.fire(row.ask.position)
    else:
        world.signal(data.draw(st.sampled_from("ab")), data.draw(st.integers(0, 3)))


def _settle(world: World, row: Row, data: st.DataObject) -> None:
    how = data.draw(st.sampled_from(["ok", "ok", "ok", "no", "doubt", "late"]))
    if how == "ok":
        world.settle(row, "succeeded", "null" if row.ask.undo else "7")
    elif how == "late" and not row.is_open:
        world.settle(row, "cancelled", None)
    else:
        error = {"type": "ValueError", "message": "no", "in_doubt": how == "doubt"}
        world.settle(row, "failed", json.dumps(error))
