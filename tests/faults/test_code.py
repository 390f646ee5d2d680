"""Workers with different code of one saga and version."""

from tests.faults.arena import STEADY, Arena
from tests.faults.code import deployed

_OLD, _NEW = ["tests.faults.code_old"], ["tests.faults.code_new"]


def test_other_code_parks_and_the_right_code_goes_on(arena: Arena) -> None:
    saga = arena.start(deployed, 2, key="one")
    right = arena.worker(modules=_OLD)
    arena.until(lambda: len(arena.ledger.applied) == 2, "it waits for its signal")
    right.kill()
    arena.records.query("UPDATE saga.worker SET python = '3.10'")
    arena.worker(modules=_NEW)
    saga.signal("go")
    (parked,) = arena.until(lambda: arena.records.query(_PARKED), "it is parked")
    assert "step book" in parked.note
    assert "step charge" in parked.note
    assert "its history was written on Python 3.10, and this worker runs" in parked.note
    arena.workers[-1].kill()
    arena.records.query("UPDATE saga.saga SET due_at = now() + interval '39 seconds'")
    arena.worker(modules=_OLD)
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    assert saga.result(1) == "old"
    assert len(arena.ledger.applied) == 3


def test_mixed_workers_corrupt_nothing(arena: Arena) -> None:
    arena.worker(modules=_OLD, lease=STEADY)
    arena.worker(modules=_NEW, lease=STEADY)
    arena.ready()
    handles = [arena.start(deployed, 3, key=str(n)) for n in range(10)]
    for handle in handles:
        handle.signal("go")

    def all_over() -> bool:
        arena.nudge()
        return not arena.records.open()

    arena.until(all_over, "each saga finds its code again and again")
    for handle in handles:
        names = [entry.name for entry in arena.ledger.entries if str(handle.id) in entry.key]
        step = "book" if handle.result(1) == "old" else "charge"
        assert names == [step] * 3 + ["ship"]


_PARKED = "SELECT note FROM saga.saga WHERE status = 'parked'"
