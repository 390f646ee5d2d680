"""The commands that fit the state of a saga, to be copied."""

import shlex
from collections.abc import Iterator, Sequence

from saga.core.states import ENDED, FORWARD, SagaStatus, StepState
from saga.storage.queries import SagaDetail, StepDetail

_TRIED_AGAIN = (StepState.RETRYING, StepState.UNKNOWN)
_MOST = 3  # commands of a kind, for as many steps


def next_commands(
    saga: SagaDetail, idle: Sequence[str] = (), *, told_why: bool = False
) -> list[str]:
    """In the order in which somebody would try them; the words are quoted for a shell. `idle`: the
    queues that no live worker serves; `told_why`: this is said below the answer of `why`.
    """
    serve = [["--app", "MODULE", "worker", "-Q", ",".join(idle)]] if idle else []
    return [shlex.join(["saga", *words]) for words in (*serve, *_commands(saga, told_why))]


def _commands(saga: SagaDetail, told_why: bool) -> Iterator[list[str]]:
    one = str(saga.id)
    yield from _of_steps(saga, one)
    if saga.status in (SagaStatus.FAILED, SagaStatus.PARKED) or any(
        step.state in _TRIED_AGAIN for step in saga.steps
    ):
        yield ["retry", one, "--reason", "WHY"]
    if saga.status not in ENDED:
        if not told_why:
            yield ["why", one]
        yield ["show", one, "--follow"]
    if saga.status in FORWARD:
        yield ["cancel", one, "--reason", "WHY"]
    if saga.status in (SagaStatus.COMPLETED, SagaStatus.PARTLY_COMPENSATED) and any(
        step.compensation or step.kind == "child" for step in saga.forward
    ):
        yield ["compensate", one, "--dry-run"]
    if saga.status in ENDED:
        yield ["history", one]


def _of_steps(saga: SagaDetail, one: str) -> Iterator[list[str]]:
    blocked = [step for step in saga.steps if step.state is StepState.BLOCKED]
    for step in blocked[:_MOST]:
        yield from _resolutions(saga, step, one)
    if saga.status not in FORWARD:
        return
    waiting = [step for step in saga.steps if step.state is StepState.WAITING]
    for step in [step for step in waiting if step.kind == "approval"][:_MOST]:
        yield ["approve", one, str(step.position)]
        yield ["reject", one, str(step.position), "--reason", "WHY"]
    for step in [step for step in waiting if step.kind == "signal"][:_MOST]:
        yield ["signal", one, step.name, "--payload", "JSON"]
    for step in [step for step in waiting if step.kind == "child" and step.child][:_MOST]:
        assert step.child is not None
        yield ["why", str(step.child.id)]


def _resolutions(saga: SagaDetail, step: StepDetail, one: str) -> Iterator[list[str]]:
    both = sum(s.position == step.position and s.state is StepState.BLOCKED for s in saga.steps) > 1
    which = (["--undo"] if step.undo else ["--forward"]) if both else []
    place = ["resolve", one, str(step.position)]
    if step.undo or saga.status in FORWARD:
        yield [*place, "retry", *which]
    yield [*place, "done", *which]
    yield [*place, "skip", *which, "--reason", "WHY"]
