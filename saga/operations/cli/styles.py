"""Colours of states: green is done, red needs somebody, yellow is on its way back."""

from rich.text import Text

from saga.core.states import SagaStatus, StepState

_STATUS = {
    SagaStatus.RUNNING: "cyan",
    SagaStatus.PARKED: "bold red",
    SagaStatus.COMPENSATING: "yellow",
    SagaStatus.COMPLETED: "green",
    SagaStatus.FAILED: "red",
    SagaStatus.COMPENSATED: "yellow",
    SagaStatus.PARTLY_COMPENSATED: "bold red",
    SagaStatus.CANCELLED: "yellow",
}
_STATE = {
    StepState.READY: "blue",
    StepState.RUNNING: "cyan",
    StepState.RETRYING: "yellow",
    StepState.UNKNOWN: "magenta",
    StepState.WAITING: "blue",
    StepState.BLOCKED: "bold red",
    StepState.SUCCEEDED: "green",
    StepState.FAILED: "red",
    StepState.CANCELLED: "dim",
    StepState.SKIPPED: "yellow",
}


def status_text(status: SagaStatus) -> Text:
    """A saga's status in its colour."""
    return Text(status.value, _STATUS[status])


def state_text(state: StepState) -> Text:
    """A step's state in its colour."""
    return Text(state.value, _STATE[state])
