"""Signals: in order, once, whoever dies meanwhile."""

from tests.faults.arena import Arena
from tests.faults.code import sagas
from tests.faults.crowd import at_once
from tests.faults.storm import storm

_MANY = 20


def test_in_order_and_once_while_workers_die(arena: Arena) -> None:
    saga = arena.start(sagas.letters, 40, key="one")
    arena.worker()
    with storm(lambda _: arena.replace_a_worker(), pause=0.7) as killing:
        for number in range(40):
            for _ in range(2):
                saga.signal("letter", number, dedup_id=str(number))
            due = number // 15
            arena.until(lambda due=due: killing.strikes >= due, "a worker dies")
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    assert saga.result(1) == list(range(40))
    assert killing.strikes >= 2


def test_signals_that_came_before_they_were_waited_for(arena: Arena) -> None:
    """Each worker takes up the history that another one has written."""
    saga = arena.start(sagas.letters, 12, key="one")
    for burst in range(4):
        for number in range(3):
            saga.signal("letter", 3 * burst + number)
        with arena.inline() as process:
            process.advance(saga.id)
    assert arena.records.statuses() == {saga.id: "completed"}
    assert saga.result(1) == list(range(12))


def test_taken_by_turns(arena: Arena) -> None:
    """Two workers that both have the saga in their cache."""
    saga = arena.start(sagas.letters, 6, key="one")
    with arena.inline() as one, arena.inline() as other:
        for number, process in enumerate([one, other] * 3):
            process.advance(saga.id)
            saga.signal("letter", number)
            process.advance(saga.id)
    assert arena.records.statuses() == {saga.id: "completed"}
    assert saga.result(1) == list(range(6))


def test_same_dedup_id_at_once(arena: Arena) -> None:
    saga = arena.start(sagas.letters, 2, key="one")
    sent = at_once(lambda _: saga.signal("letter", "x", dedup_id="the same"))
    assert sorted(map(str, sent)) == ["False"] * (_MANY - 1) + ["True"]
    saga.signal("letter", "y")
    arena.worker()
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    assert saga.result(1) == ["x", "y"]


def test_many_senders_at_once(arena: Arena) -> None:
    saga = arena.start(sagas.letters, _MANY, key="one")
    arena.worker()
    assert at_once(lambda number: saga.signal("letter", number)) == [True] * _MANY
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    accepted = arena.records.query("SELECT payload FROM saga.signal ORDER BY event")
    assert saga.result(1) == [row.payload for row in accepted]
    assert sorted(saga.result(1)) == list(range(_MANY))


def test_two_names_do_not_mix(arena: Arena) -> None:
    saga = arena.start(sagas.pair, 5, key="one")
    arena.worker()
    for number in range(5):
        saga.signal("left", number)
        saga.signal("right", -number)
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    assert saga.result(1) == {"left": [0, 1, 2, 3, 4], "right": [0, -1, -2, -3, -4]}
