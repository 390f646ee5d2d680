"""How much of each workload a run does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts; the defaults are those of the published table."""

    sagas: int = 2000
    latency: int = 200
    undo: int = 500
    long: int = 1000
    fanout: int = 200
    parked: int = 20_000
    parked_seconds: float = 20
    kill: int = 200
    warm: int = 40
    patience: float = 8


FULL = Sizes()
QUICK = Sizes(
    sagas=40,
    latency=10,
    undo=20,
    long=40,
    fanout=20,
    parked=100,
    parked_seconds=1,
    kill=20,
    warm=4,
    patience=4,
)
