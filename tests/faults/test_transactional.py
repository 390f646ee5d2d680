"""Steps that commit their writes with their outcome: once, whatever happens."""

import pytest

from tests.faults.arena import Arena
from tests.faults.code import sagas


@pytest.mark.parametrize("action", ["kill", "stop", "raise"])
@pytest.mark.parametrize("point", ["P8", "P9", "P10"])
def test_exactly_once(arena: Arena, point: str, action: str) -> None:
    victim = arena.worker(f"{point}={action}", concurrency=1)
    saga = arena.start(sagas.entries, 3, key="one").id
    arena.until(lambda: arena.has_passed(point), "the fail point acts")
    arena.worker()
    assert arena.until_over(saga) == {saga: "completed"}
    if action == "stop":
        victim.wake()
        arena.ready(victim)
    assert arena.entered() == {(saga, n + 1): 1 for n in range(3)}
