"""What was accepted is read, or shown as unread."""

import itertools
import random
import time
from uuid import UUID

import pytest

from saga import SagaEnded
from saga.storage.queries import SagaDetail, detail, reader, snapshot
from tests.faults.arena import Arena
from tests.faults.code import sagas
from tests.faults.crowd import at_once


def _shown(arena: Arena, saga: UUID) -> SagaDetail:
    engine = reader(arena.database_url, pool_size=1)
    try:
        with snapshot(engine) as connection:
            return detail(connection, saga)
    finally:
        engine.dispose()


def test_a_saga_that_empties_its_mailbox_misses_no_accepted_letter(arena: Arena) -> None:
    for _ in range(2):
        arena.worker()
    arena.ready()

    def stream(number: int) -> None:
        for each in range(6):
            handle = arena.start(sagas.drains, key=f"{number} {each}")
            accepted: list[int] = []
            for letter in itertools.count():
                try:
                    handle.signal("letter", letter)
                except SagaEnded:
                    break
                accepted.append(letter)
                time.sleep(random.random() * 0.02)  # it ends in a gap, if there is one
            assert handle.result(60) == accepted
            shown = _shown(arena, handle.id)
            assert [row.payload for row in shown.signals] == accepted
            assert not any(row.unread for row in shown.signals)

    assert at_once(stream, 4) == [None] * 4


def test_a_letter_between_a_look_into_the_mailbox_and_the_end(arena: Arena) -> None:
    with arena.inline() as process, arena.sweeper() as sweeper:
        handle = arena.start(sagas.drains, key="one")
        process.advance(handle.id)
        handle.signal("letter", 1)
        process.advance(handle.id)
        assert arena.records.steps(handle.id)[2, False].state == "waiting"
        arena.until(
            lambda: sweeper.sweep() and arena.records.steps(handle.id)[2, False].wakes,
            "the sweeper leaves it to the code",
        )
        handle.signal("letter", 2)
        process.advance(handle.id)
        process.advance(handle.id)
        assert handle.result(1) == [1, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_what_stays_unread_is_shown(arena: Arena, count: int) -> None:
    with arena.inline() as process:
        handle = arena.start(sagas.leaves, key="one")
        for letter in range(count):
            handle.signal("letter", letter)
        process.advance(handle.id)
        assert handle.result(1) == 0
    shown = _shown(arena, handle.id)
    assert [row.unread for row in shown.signals] == [False] + [True] * (count - 1)
