"""What is planned for soon is said, and not more often than anybody needs to hear it."""

from collections.abc import Callable, Generator

import psycopg
import pytest

from saga.storage.connect import connect
from saga.storage.hot.store import Store
from saga.wakeups.bell import BUSY, IDLE, Ringer


class Clock:
    """The database's."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def words(database_url: str, clock: Clock) -> Generator[Callable[..., int]]:
    """Plans for in so many seconds, and tells how many words the sweeper hears of it."""
    ringer = Ringer(clock)
    with (
        connect(database_url, "test") as connection,
        psycopg.connect(database_url, autocommit=True) as sweeper,
    ):
        sweeper.execute("LISTEN saga_due")

        def planned(*seconds: float) -> int:
            ringer.plan([clock.now + s for s in seconds], Store(connection))
            sweeper.execute("SELECT 1")  # whoever notified has signalled before it had its answer
            return len(list(sweeper.notifies(timeout=0)))

        yield planned


def test_only_what_is_sooner_than_the_sweeper_looks(words: Callable[..., int]) -> None:
    assert words() == 0
    assert words(IDLE, IDLE + 1) == 0
    assert words(3600.0, IDLE - 0.1, 3600.0) == 1


def test_what_is_due_already(words: Callable[..., int]) -> None:
    assert words(-1.0, 0.0) == 1


def test_one_word_is_enough_until_it_looks_again(words: Callable[..., int], clock: Clock) -> None:
    assert words(1.9) == 1
    clock.now += BUSY / 2
    assert words(0.1) == 0
    clock.now += BUSY / 2
    assert words(0.1) == 1, "although what the first was about has not come"


def test_a_clock_that_is_set_back_silences_nobody(words: Callable[..., int], clock: Clock) -> None:
    assert words(0.1) == 1
    clock.now -= 60
    assert words(0.1) == 1


def test_a_connection_that_is_cut_fails_nothing(database_url: str, clock: Clock) -> None:
    connection = connect(database_url, "test")
    connection.close()
    Ringer(clock).plan([clock.now], Store(connection))
