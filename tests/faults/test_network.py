"""Replies of the database are lost after it has done what it was asked for."""

from tests.faults.arena import STEADY, Arena
from tests.faults.code import sagas
from tests.faults.proxy import proxy


def test_lost_replies(arena: Arena) -> None:
    with proxy(arena.database_url) as between:
        far = {"SAGA_DATABASE_URL": between.url(arena.database_url)}
        arena.worker(environment=far)
        arena.worker(environment=far)
        arena.ready()
        between.loss = 0.04
        forward = arena.start_many(sagas.voyage, 8)
        backward = [arena.start(sagas.trip, 4, fails=True, key=str(n)).id for n in range(8)]
        entered = arena.start_many(sagas.entries, 6, 4)
        ends = arena.until_over()
        arena.until(lambda: between.cuts >= 5, "some replies are lost, if of renewals only")
        between.loss = 0.0
        assert {ends[one] for one in forward + entered} == {"completed"}
        assert {ends[one] for one in backward} == {"compensated"}
        assert arena.entered() == {(one, n + 1): 1 for one in entered for n in range(4)}
        arena.check()


def test_lost_reply_of_a_commit(arena: Arena) -> None:
    """The outcome is committed, the worker does not know."""
    arena.worker("P9=lose@4", concurrency=1, lease=STEADY)
    saga = arena.start(sagas.voyage, key="one").id
    assert arena.until_over(saga) == {saga: "completed"}
    assert arena.has_passed("P9")
    assert len(arena.ledger.applied) == len(arena.ledger.asked("do")) == 5


def test_lost_reply_of_a_transactional_commit(arena: Arena) -> None:
    arena.worker("P9=lose@2", concurrency=1)
    saga = arena.start(sagas.entries, 3, key="one").id
    assert arena.until_over(saga) == {saga: "completed"}
    assert arena.has_passed("P9")
    assert arena.entered() == {(saga, n + 1): 1 for n in range(3)}
