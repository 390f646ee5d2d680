"""What steps raise for good, given to Sentry as its Celery integration gives what tasks raise."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# The kit is the user's: it is not needed here.

import sys
from typing import Any

from saga.core.failures import is_private
from saga.core.states import StepState
from saga.engine.attempt.work import Outcome, Work
from saga.engine.worker.watchers import Watcher
from saga.execution.task_steps import is_expected

_FOR_GOOD = (StepState.FAILED, StepState.BLOCKED)


class SentryReports(Watcher):
    """A watcher of steps. That the log reports the same exception, Sentry notices."""

    def ended(self, work: Work, outcome: Outcome, seconds: float) -> None:
        """Once for each step that fails and each undo that is blocked, with what it is about."""
        del seconds
        client, error = _client(), outcome.cause
        if client is None or error is None or outcome.state not in _FOR_GOOD or is_private():
            return
        if is_expected(work.intent.name, error):
            return
        if is_expected(work.intent.name, error):
            return
        sdk: Any = sys.modules["sentry_sdk"]
        event, hint = sdk.utils.event_from_exception(
            error,
            client_options=client.options,
            mechanism={"type": "celery", "handled": False},
        )
        event["transaction"] = work.intent.name
        event["tags"] = {
            "saga": work.saga_name,
            "saga_id": str(work.key.saga_id),
            "step": work.intent.name,
            "position": str(work.key.position),
        }
        sdk.capture_event(event, hint=hint)


def is_used() -> bool:
    """Whether the app has set up Sentry with its Celery integration."""
    return _client() is not None


def _client() -> Any:
    sdk: Any = sys.modules.get("sentry_sdk")
    client = None if sdk is None else sdk.get_client()
    return client if client is not None and client.get_integration("celery") else None
