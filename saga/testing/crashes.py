"""One saga, run again and again, with something else going wrong each time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple, TypeVar

from saga.core.declare.definitions import SagaDefinition
from saga.core.states import SagaStatus
from saga.errors import Divergence
from saga.testing.faults import Faults, Kill, Stray
from saga.testing.play import Play
from saga.testing.tables import Saga
from saga.testing.world_saga import WorldSaga

R = TypeVar("R")


class Fault(NamedTuple):
    """Something that goes wrong, and how that is told."""

    make: Callable[[], Faults]
    point: str


class Crash(WorldSaga[R]):
    """A saga after something went wrong, when it has come to its end all the same."""

    def __init__(
        self, play: Play, saga: Saga, definition: SagaDefinition[..., R], point: str
    ) -> None:
        super().__init__(play, saga, definition)
        self.point = point
        """What went wrong."""

    def __repr__(self) -> str:
        return f"<{self._saga.name} {self.status}; {self.point}>"


def explore(
    begin: Callable[[Faults, bool], tuple[Play, Saga]], definition: SagaDefinition[..., R]
) -> Iterator[Crash[R]]:
    """`begin` starts the saga in a play with these faults, whose worker goes on with a saga by
    itself or lives on messages alone.
    """
    for goes_on in (True, False):
        calm = Faults()
        usual = yield from _one(begin, calm, goes_on, definition, "nothing goes wrong")
        for fault in _faults(calm):
            status = yield from _one(begin, fault.make(), goes_on, definition, fault.point)
            if status != usual and status == SagaStatus.PARKED:
                raise Divergence(f"{fault.point}: the saga is parked")


def _one(
    begin: Callable[[Faults, bool], tuple[Play, Saga]],
    faults: Faults,
    goes_on: bool,
    definition: SagaDefinition[..., R],
    point: str,
) -> Generator[Crash[R], None, str]:
    play, saga = begin(faults, goes_on)
    try:
        play.finish(saga.id)
        yield Crash(play, saga, definition, point)
    finally:
        play.close()
    return saga.status


def _faults(calm: Faults) -> Iterator[Fault]:
    """All that can go wrong with what a calm run wrote and sent."""
    for number, what in enumerate(calm.writes, 1):
        yield Fault(lambda n=number: Kill(n, "before"), f"killed before write {number}: {what}")
        yield Fault(lambda n=number: Kill(n, "after"), f"killed after write {number}: {what}")
    for number, what in enumerate(calm.deliveries, 1):
        yield Fault(lambda n=number: Stray(n, "lost"), f"message {number} lost: {what}")
        yield Fault(lambda n=number: Stray(n, "doubled"), f"message {number} doubled: {what}")
        yield Fault(lambda n=number: Stray(n, "late"), f"message {number} late: {what}")
