"""A worker dies after each landing of a family in turn: no child is forgotten, none doubled."""

from tests.faults.arena import Arena
from tests.faults.code import sagas


def test_killed_after_each_landing(arena: Arena) -> None:
    families = arena.start_many(sagas.family, 4, 2)
    for landing in range(1, 8):
        (arena.folder / "points" / "P10").unlink(missing_ok=True)
        arena.worker(f"P10=kill@{landing}", concurrency=1).await_death()
    arena.worker()
    ends = arena.until_over()
    assert len(ends) == len(families) * 3
    assert set(ends.values()) == {"completed"}
    assert len(arena.ledger.applied) == len(families) * 2 * 2
