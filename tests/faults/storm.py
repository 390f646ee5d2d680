"""A fault that strikes again and again while a test goes on."""

import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg
import redis


class Storm:
    """Strikes at random intervals."""

    def __init__(self, strike: Callable[[random.Random], object], pause: float, seed: int) -> None:
        self._strikes = 0
        self._strike = strike
        self._pause = pause
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(self._pause * (0.5 + self._random.random())):
            try:
                self._strike(self._random)
            except (psycopg.OperationalError, redis.RedisError):
                continue  # what it strikes at is not there at the moment
            self._strikes += 1

    @property
    def strikes(self) -> int:
        """How often it has; nobody waits in vain for a storm that has broken down."""
        assert self._thread.is_alive() or self._over.is_set(), "its thread has failed"
        return self._strikes

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Returns when the last strike is over."""
        self._over.set()
        self._thread.join()


@contextmanager
def storm(
    strike: Callable[[random.Random], object], *, pause: float, seed: int | None = None
) -> Generator[Storm]:
    """Strikes as long as the block lasts, some `pause` seconds apart. The seed is printed."""
    chosen = random.randrange(2**32) if seed is None else seed
    print("storm seed:", chosen)  # noqa: T201 - shown with a failure, to repeat it
    running = Storm(strike, pause, chosen)
    running.start()
    try:
        yield running
    finally:
        running.end()
