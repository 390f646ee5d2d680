"""Which worker processes run, and what each of them serves."""

from __future__ import annotations

from dataclasses import dataclass

MAIN = "main"
HOPS = ("hop1", "hop2", "hop3", "hop4", "hop5")


@dataclass(frozen=True, slots=True)
class Layout:
    """The queues of each worker process, and how many steps each runs at once.

    `slots` None leaves the concurrency to the engine's own default for this many processes.
    """

    workers: tuple[tuple[str, ...], ...]
    slots: int | None = None


TWO_ALIKE = Layout(((MAIN,), (MAIN,)))
# Consecutive steps belong to different processes, so that every step changes process.
ALTERNATING = Layout((HOPS[0::2], HOPS[1::2]))
