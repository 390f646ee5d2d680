"""The leases in this process's hands, as its threads know them."""

import threading
from collections.abc import Iterable

from saga.core.rows import StepKey
from saga.engine.attempt.work import Work
from saga.storage.hot.rows import Move


class Leases:
    """Which attempts of which steps threads of this process are at. Safe for threads.

    A lease that the database has in this process's name and that no thread is at, is a stray: the
    reply that granted it was lost, or its thread ended without an outcome.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[StepKey, int] = {}
        self._abandoned: dict[StepKey, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def grant(self, work: Work) -> Work:
        """A thread is about to be at it."""
        with self._lock:
            self._held[work.key] = work.attempt
        return work

    def forget(self, work: Work) -> None:
        """Its thread is done with it."""
        with self._lock:
            _drop(self._held, work.key, work.attempt)

    def abandon(self, work: Work) -> None:
        """Its thread ended without an outcome: nobody knows what it has done."""
        with self._lock:
            self._abandoned[work.key] = work.attempt
            _drop(self._held, work.key, work.attempt)

    def lose(self) -> None:
        """This process was taken for dead: whatever it holds is no longer its own."""
        with self._lock:
            self._held.clear()

    def strays(self, held: Iterable[tuple[StepKey, int]]) -> list[Move]:
        """What gives up those of the leases `held` in the database that no thread is at."""
        with self._lock:
            return [
                _release(key, attempt, begun=self._abandoned.get(key) == attempt)
                for key, attempt in held
                if self._held.get(key) != attempt
            ]

    def have_no_strays(self, but: Iterable[StepKey], known: dict[StepKey, int]) -> None:
        """Of the abandoned that were `known`, only these are still to be given up."""
        with self._lock:
            for key in known.keys() - set(but):
                _drop(self._abandoned, key, known[key])

    @property
    def abandoned(self) -> dict[StepKey, int]:
        """A copy."""
        with self._lock:
            return dict(self._abandoned)


def _drop(leases: dict[StepKey, int], key: StepKey, attempt: int) -> None:
    if leases.get(key) == attempt:
        del leases[key]


def _release(key: StepKey, attempt: int, begun: bool) -> Move:
    """What no thread ever had (the reply that granted it was lost) cannot have had an effect."""
    return Move(
        key,
        "running",
        "unknown" if begun else "ready",
        attempt,
        in_doubt=True if begun else None,
        fences=True,
        due_in=0,
        reason="its thread ended without an outcome" if begun else "no thread took it up",
        void="lost" if begun else "not begun",
    )
