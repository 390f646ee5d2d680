"""What a thread wants of a saga, and what came of it."""

import threading
from dataclasses import dataclass, field
from uuid import UUID

from saga.core.rows import StepKey
from saga.engine.attempt.work import Outcome, Work


def _closed() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True)
class Request:
    """What a thread wants of a saga: to claim a step, to settle one, or only to advance it.

    `may_go_on`: whether the thread takes another step of the same saga in return.
    """

    saga_id: UUID
    claim: StepKey | None = None
    limit: float | None = None  # of the claimed step, seconds
    settle: Work | None = None
    outcome: Outcome | None = None
    may_go_on: bool = True
    recorded: bool = False  # the outcome is in the journal already
    alone: bool = False  # the outcome is recorded, and nothing decided
    park: str | None = None  # why the saga is to be parked
    at: float = 0.0
    tries: int = 0
    event: int | None = None  # its number in the journal, once recorded by itself
    done: bool = False
    busy: bool = False
    locked: bool = False  # busy, because somebody keeps the saga's row for long
    error: BaseException | None = None
    work: Work | None = None
    turn: threading.Lock = field(default_factory=_closed)  # released when it is done, or is to lead
