"""Random programs of the small language, and what happens to them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.core.programs import STEPS
from tests.core.world import Row, World

_seconds = st.sampled_from([0, 1, 5, 30])
_leaves = st.one_of(
    st.tuples(st.just("step"), st.sampled_from(sorted(STEPS)), st.integers(0, 9)),
    st.tuples(st.just("step"), st.just("undoable"), st.integers(0, 9)),
    st.tuples(st.just("sleep"), _seconds),
    st.tuples(st.just("signal"), st.sampled_from("ab"), st.sampled_from([None, 20])),
    st.tuples(st.just("approval"), st.sampled_from("pq")),
    st.tuples(st.just("raise")),
    st.tuples(st.just("look")),
)


def _bigger(smaller: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(smaller, min_size=1, max_size=3)
    return st.one_of(
        st.tuples(
            st.sampled_from(
                [
                    *("seq", "group", "race", "as_completed", "queue", "locked"),
                    *("semaphore", "condition", "barrier"),
                ]
            ),
            some,
        ),
        st.tuples(st.just("gather"), some, st.booleans()),
        st.tuples(st.sampled_from(["try", "finally", "cancel", "event"]), smaller, smaller),
        st.tuples(st.sampled_from(["timeout", "move_on", "wait_for", "shield"]), _seconds, smaller),
        st.tuples(st.sampled_from(["scope", "background"]), smaller),
        st.tuples(st.just("settled"), smaller, smaller, smaller),
        st.tuples(st.just("completed_later"), some, smaller),
        st.tuples(st.just("shared"), smaller, _seconds),
    )


programs: st.SearchStrategy[Any] = st.recursive(_leaves, _bigger, max_leaves=8)
"""Programs as nested tuples, which become lists on the way through JSON."""


def something_happens(world: World, data: st.DataObject) -> None:
    """One of what is underway settles, or a signal comes."""
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
