"""A lease in a worker's hand, and how an attempt ended."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from saga.core.context import idempotency_key
from saga.core.rows import StepKey

FinalState = Literal["succeeded", "failed"]
OpenState = Literal["retrying", "unknown", "blocked"]


@dataclass(frozen=True, slots=True)
class Work:
    """An attempt of a step or an undo whose lease this process holds. Payloads are JSON text."""

    key: StepKey
    saga_name: str
    name: str
    queue: str
    args: str
    attempt: int
    fence: int  # the saga's when the lease was granted: a higher one may have taken it away
    in_doubt: bool = False
    result: str | None = None  # for a compensation: what the step returned
    forgiven: int = 0  # attempts before an operator's retry, which count no longer
    traceparent: str | None = None  # the saga's

    @property
    def is_wanted_by_a_person(self) -> bool:
        """A person has just said that it shall be tried again."""
        return self.forgiven > 0 and self.tries == 1

    @property
    def tries(self) -> int:
        """Attempts that count, this one included."""
        return self.attempt - self.forgiven

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt."""
        return idempotency_key(*self.key)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `retry_in` in seconds, for `retrying` and `unknown`."""

    state: FinalState | OpenState
    result: str | None = None
    error: str | None = None
    in_doubt: bool = False
    retry_in: float | None = None
    reason: str | None = None

    @property
    def is_final(self) -> bool:
        return self.state in ("succeeded", "failed")


COMMITTED = Outcome("succeeded")
"""Of a transactional step: the result is in the database by now."""

ABANDONED = Outcome("unknown", in_doubt=True, reason="its thread ended without an outcome")
"""Of an attempt that nobody brings to an end."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A saga that has just ended, so many `seconds` after its start. `course` asks the database
    when the saga itself moved (epoch seconds), and to which status, from its start to this end.
    """

    saga_id: UUID
    name: str
    version: int
    status: str
    seconds: float
    traceparent: str | None
    course: Callable[[], Sequence[tuple[float, str]]]


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
