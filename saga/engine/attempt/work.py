"""A lease in a worker's hand, and how an attempt ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

from saga.core.context import idempotency_key
from saga.core.intent import Intent
from saga.core.rows import StepKey

FinalState = Literal["succeeded", "failed"]
OpenState = Literal["retrying", "unknown", "blocked"]


class Work(NamedTuple):
    """An attempt of a step or an undo whose lease this process holds. Payloads are JSON text."""

    key: StepKey
    saga_name: str
    intent: Intent
    attempt: int
    fence: int  # the saga's when the lease was granted: a higher one may have taken it away
    in_doubt: bool = False
    result: str | None = None  # for a compensation: what the step returned
    forgiven: int = 0  # attempts that count no longer
    lost: int = 0  # workers lost in a row, just before this attempt
    traceparent: str | None = None  # the saga's

    @property
    def is_wanted_by_a_person(self) -> bool:
        """A person has just said that it shall be tried again."""
        return self.forgiven > 0 and self.attempt - self.forgiven == 1

    @property
    def tries(self) -> int:
        """Attempts that count, this one included."""
        return self.attempt - self.forgiven - self.lost

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt."""
        return idempotency_key(*self.key)


class Outcome(NamedTuple):
    """How an attempt ended. `retry_in` in seconds, for `retrying` and `unknown`."""

    state: FinalState | OpenState
    result: str | None = None
    error: str | None = None
    in_doubt: bool = False
    retry_in: float | None = None
    reason: str | None = None
    traceback: str | None = None
    cause: BaseException | None = None  # for those who watch

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
