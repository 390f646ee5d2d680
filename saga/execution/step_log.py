"""The log of the outcomes of steps and sagas: one subscriber, or none if nobody reads it."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from saga.core.failures import is_private
from saga.core.states import SagaStatus, StepState
from saga.core.tracebacks import place_of
from saga.engine.attempt.work import Ended, Outcome, Work
from saga.engine.worker.watchers import Watcher
from saga.execution.task_steps import is_expected

log = logging.getLogger("saga.outcome")

FIELDS = ("saga_id", "saga", "step", "position", "undo", "attempt", "outcome", "seconds")
"""What a line about a step has beside its text."""


_LEVELS: dict[str, int] = {
    StepState.SUCCEEDED: logging.INFO,
    StepState.FAILED: logging.ERROR,
    StepState.BLOCKED: logging.ERROR,
}


class StepLog(Watcher):
    """A watcher of steps."""

    def started(self, work: Work, at: float) -> None:
        """A line for each would say little; DEBUG has them."""
        del at
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s begins", work.intent.name, extra=_fields(work))

    def ended(self, work: Work, outcome: Outcome, seconds: float) -> None:
        """INFO if it succeeded, or raised what its task `throws`; WARNING if it is tried again,
        ERROR with the traceback if not.
        """
        level = _LEVELS.get(outcome.state, logging.WARNING)
        if level == logging.ERROR and is_expected(work.intent.name, outcome.cause):
            level = logging.INFO
        if not log.isEnabledFor(level):
            return
        fields = _fields(work) | {"outcome": outcome.state, "seconds": round(seconds, 4)}
        undo = " (undo)" if work.key.undo else ""
        told = (
            work.intent.name,
            undo,
            outcome.state,
            work.attempt,
            work.key.position,
            work.saga_name,
            work.key.saga_id,
            seconds,
            _raised(outcome),
        )
        cause = outcome.cause if level == logging.ERROR and not is_private() else None
        raised = cause and (type(cause), cause, cause.__traceback__)
        line = "%s%s %s: attempt %d of step %d of saga %s %s, %.3f s%s"
        record = log.makeRecord(log.name, level, "", 0, line, told, raised, extra=fields)
        if raised:
            record.exc_text = outcome.traceback  # which a formatter would else make once more
        log.handle(record)

    def saga_ended(self, saga: Ended) -> None:
        """INFO if it completed, WARNING if not."""
        log.log(
            logging.INFO if saga.status == SagaStatus.COMPLETED else logging.WARNING,
            "saga %s %s: %s",
            saga.name,
            saga.status,
            saga.saga_id,
            extra={"saga_id": str(saga.saga_id), "saga": saga.name, "outcome": saga.status},
        )


def _raised(outcome: Outcome) -> str:
    """`; ValueError at shop.py:31 in charge`, of what it raised."""
    if outcome.cause is None:
        return ""
    place = place_of(outcome.cause)
    return f"; {type(outcome.cause).__name__}" + (f" at {place}" if place else "")


def is_read() -> bool:
    """Whether any of its lines go anywhere; if not, a step costs not even the question."""
    return log.isEnabledFor(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger and message; of steps also FIELDS."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {
            name: value for name in FIELDS if (value := getattr(record, name, None)) is not None
        }
        if record.exc_info:
            entry["exception"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def log_as_json(**_: Any) -> None:
    """A receiver of Celery's `setup_logging`, which then leaves logging to us."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], force=True)
    logging.getLogger("celery").setLevel(logging.getLogger("saga").level)


def _fields(work: Work) -> dict[str, Any]:
    return {
        "saga_id": str(work.key.saga_id),
        "saga": work.saga_name,
        "step": work.intent.name,
        "position": work.key.position,
        "undo": work.key.undo,
        "attempt": work.attempt,
    }
