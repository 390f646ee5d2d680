"""What a Celery task says of the step that it is: its queue, policy and limits, and what cannot be
carried over.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery has no types.

import warnings
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.exceptions import QueueNotFound
from celery.local import Proxy

from saga.core.declare.definitions import UNDO_RETRY, Compensation, StepDefinition
from saga.core.declare.made_of import MadeOf
from saga.core.declare.registry import registry
from saga.core.declare.retry import Retry, TaskRetry
from saga.errors import DefinitionError, DefinitionWarning, UnknownStep
from saga.execution.task_call import TaskCall, as_step

Made = StepDefinition[..., Any] | Compensation

_UNLIMITED = 2**31 - 1


def adopt_tasks(app: Celery | None) -> None:
    """Lets each step and undo that is made of a task have what the task says, as soon as the app
    is configured and its modules are imported; calling it twice changes nothing.
    """
    for step in registry.steps():
        _adopt(step, app)
        if step.undo is not None:
            _adopt(step.undo, app)


def _adopt(made: Made, app: Celery | None) -> None:
    made_of = made.made_of
    if made_of is None or isinstance(made.function, TaskCall):
        return
    task = _task_in(app, made_of.task)
    said = made_of.options
    queue = made.queue if "queue" in said else queue_of(task)
    retry = made.retry if "retry" in said else _retry(task, made)
    timeout = made.timeout if "timeout" in said else _timeout(task)
    ours = as_step(task, retries="retry" not in said)
    if isinstance(made, StepDefinition):
        made.expected = tuple(task.throws or ())
    made.become(TaskCall(ours, queue, retry.goes_on), queue, retry, timeout)


def warn_of_tasks() -> None:
    """A DefinitionWarning for each thing of a task that does not hold for its step."""
    for step in registry.steps():
        for made in (step, *((step.undo,) if step.undo else ())):
            if made.made_of is not None:
                for text in _lost(made.made_of):
                    warnings.warn(f"step {made.name}: {text}", DefinitionWarning, stacklevel=2)


def is_expected(name: str, error: BaseException | None) -> bool:
    """Whether an error is one of those that the task of this step `throws`: no news to Celery."""
    try:
        return isinstance(error, registry.step(registry.renamed(name)).expected)
    except UnknownStep:
        return False


def queue_of(task: Any) -> str:
    """Where the app would send the task. Raises DefinitionError if it depends on the arguments."""
    amqp = task.app.amqp
    try:
        routed = amqp.router.route(dict(task._get_exec_options()), task.name, (), {}, task)
    except QueueNotFound as error:
        raise DefinitionError(f"step {task.name}: {error}") from error
    except Exception as error:
        raise DefinitionError(
            f"step {task.name}: the app's router raised {error!r} when it was asked without "
            "arguments: give the step queue="
        ) from error
    queue = routed.get("queue")
    if queue is not None:
        return str(getattr(queue, "name", queue))
    key = routed.get("routing_key")
    bound = [name for name, one in amqp.queues.items() if key and one.routing_key == key]
    return str(bound[0] if bound else task.app.conf.task_default_queue)


def _task_in(app: Celery | None, task: Any) -> Any:
    """As this app has it: a shared task is another in each app."""
    found = task if app is None else app.tasks.get(task.name, task)
    return found._get_current_object() if isinstance(found, Proxy) else found  # pyright: ignore[reportPrivateUsage]


def _retry(task: Any, made: Made) -> Retry:
    most = _UNLIMITED if task.max_retries is None else int(task.max_retries) + 1
    if isinstance(made, Compensation):  # an undo goes on until it has worked
        return TaskRetry(max(most, UNDO_RETRY.max_attempts), others=True)
    return TaskRetry(most, asks=made.prober is not None or made.on_unknown == "ask")


def _timeout(task: Any) -> timedelta | None:
    conf = task.app.conf
    limit = task.time_limit or conf.task_time_limit
    limit = limit or task.soft_time_limit or conf.task_soft_time_limit
    return timedelta(seconds=float(limit)) if limit else None


def _lost(made_of: MadeOf) -> Iterable[str]:
    task = made_of.task
    if task.rate_limit:
        yield (
            f"rate_limit={task.rate_limit!r} of its task does not hold for steps: give it a queue "
            "of its own, and that queue a worker with as few slots (--concurrency) as it bears"
        )
    if task.soft_time_limit or task.app.conf.task_soft_time_limit:
        yield (
            "no SoftTimeLimitExceeded is raised in it: when its time is up, its attempt is taken "
            "for one of unknown outcome, and what it does later does not count"
        )
    if task.priority is not None:
        yield (
            f"priority={task.priority!r} of its task does not hold for steps: give what is urgent "
            "a queue of its own"
        )
    if getattr(task, "expires", None):
        yield "expires= of its task does not hold for steps: use asyncio.timeout() in the saga"
