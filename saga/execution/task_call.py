"""A Celery task as the body of a step: called as Celery's own worker calls it, with a request, the
handlers and the signals, but without messages and results, which are the saga's.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportUnknownLambdaType=false
# Celery has no types.

import inspect
import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from socket import gethostname
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import Task, signals, states
from celery._state import _task_stack  # pyright: ignore[reportPrivateUsage]
from celery.app.autoretry import add_autoretry_behaviour
from celery.app.task import Context
from celery.app.trace import task_has_custom
from celery.exceptions import Ignore, Reject, Retry
from celery.utils.time import maybe_make_aware

from saga.core.context import StepContext, current
from saga.core.declare.retry import TryAgain
from saga.errors import OutsideStep, Permanent

log = logging.getLogger("saga.step")

GoesOn = Callable[[BaseException, int], bool]


class TaskRequest(Context):
    """`self.request` of a task that runs as a step."""


class _Step:
    """Beneath the class of a task: what of it would send messages."""

    request: Any

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Of `self.retry()` this is the last thing, with the id of what runs now. There is nothing
        to send: the attempt that it asks for is made by the saga.
        """
        request = self.request
        if not isinstance(request, TaskRequest) or options.get("task_id") != request.id:
            return super().apply_async(args, kwargs, **options)  # type: ignore[misc]
        if (args, kwargs) != (request.args, request.kwargs):
            raise Permanent("self.retry(args=, kwargs=): the arguments of a step are its saga's")
        return None

    def replace(self, sig: Any) -> Any:
        """Celery would run another task, and nobody would hear of its result."""
        del sig
        raise Permanent("self.replace(): in a saga the other task is a step that the saga awaits")


def as_step(task: Any, *, retries: bool) -> Any:
    """A copy of the task that runs as a step, with its own class between it and the user's. Without
    `retries` a policy of the step's own counts attempts, and `self.retry` only asks for one more.
    """
    kind = type(task)
    ours = type(kind.__name__, (_Step, kind), {"__module__": kind.__module__})
    made: Any = object.__new__(ours)  # a copy.copy() of a task is the task
    made.__dict__.update(task.__dict__)
    for wrapped in ("run", "_orig_run"):  # by the task's own autoretry; the class has the original
        made.__dict__.pop(wrapped, None)
    if retries:
        add_autoretry_behaviour(made)
    else:
        made.max_retries = None
    return made


class TaskCall:
    """What a step's function is: called in an attempt it is the task; elsewhere, too."""

    def __init__(self, task: Any, queue: str, goes_on: GoesOn) -> None:
        self.task = task
        self._queue = queue
        self._goes_on = goes_on
        self._signature = inspect.signature(task.run)
        self._function: Any = task if task_has_custom(task, "__call__") else task.run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            step = current()
        except OutsideStep:
            return self.task(*args, **kwargs)
        if not step.saga_name:
            return self.task(*args, **kwargs)
        # As most callers of a task give them; how the saga did is not stored.
        bound = self._signature.bind(*args, **kwargs)
        request = _request(self.task, step, bound.args, bound.kwargs, self._queue)
        with _pushed(self.task, request):
            return self._attempt(request, step.tries)

    def _attempt(self, request: TaskRequest, tries: int) -> Any:
        task = self.task
        told: tuple[Any, Any, Any] = (request.id, request.args, request.kwargs)
        _tell(signals.task_prerun, task, task_id=told[0], task=task, args=told[1], kwargs=told[2])
        began = time.monotonic()
        state, value = states.FAILURE, None
        try:
            task.before_start(*told)
            value = self._function(*told[1], **told[2])
            state = states.SUCCESS
        except Exception as error:
            raised = _as_error(error, task)
            state, value = self._ended(request, error, raised, tries)
            if raised is error:
                raise
            raise raised from None
        else:
            _hook(task.on_success, value, *told)
            _tell(signals.task_success, task, result=value, runtime=time.monotonic() - began)
            return value
        finally:
            if state != states.RETRY:
                _hook(task.after_return, state, value, *told, None)
            _tell(
                signals.task_postrun,
                task,
                task_id=told[0],
                task=task,
                args=told[1],
                kwargs=told[2],
                retval=value,
                state=state,
            )

    def _ended(
        self, request: TaskRequest, error: Exception, raised: Exception, tries: int
    ) -> tuple[str, Any]:
        """Tells the task of it; Celery's word for it and the exception."""
        task, told = self.task, (request.id, request.args, request.kwargs)
        cause = raised.cause if isinstance(raised, TryAgain) else raised
        info = ExceptionInfo((type(cause), cause, cause.__traceback__ or error.__traceback__))
        if self._goes_on(raised, tries):
            reason = error if isinstance(error, Retry) else Retry(exc=cause)
            _hook(task.on_retry, reason.exc, *told, info)
            _tell(signals.task_retry, task, request=request, reason=reason, einfo=info)
            return states.RETRY, error
        _hook(task.on_failure, cause, *told, info)
        _tell(
            signals.task_failure,
            task,
            task_id=told[0],
            exception=cause,
            args=told[1],
            kwargs=told[2],
            traceback=cause.__traceback__,
            einfo=info,
        )
        return states.FAILURE, cause


def _request(task: Any, step: StepContext, args: Any, kwargs: Any, queue: str) -> TaskRequest:
    return TaskRequest(
        id=step.idempotency_key,
        root_id=str(step.saga_id),
        parent_id=str(step.saga_id),
        correlation_id=step.idempotency_key,
        task=task.name,
        args=args,
        kwargs=kwargs,
        retries=step.tries - 1,
        called_directly=False,
        is_eager=False,
        ignore_result=True,
        origin="saga",
        hostname=gethostname(),
        delivery_info={"exchange": "", "routing_key": queue, "redelivered": False},
        timelimit=[None, None],
        headers={},
        properties={},
    )


@contextmanager
def _pushed(task: Any, request: TaskRequest) -> Generator[None]:
    _task_stack.push(task)
    task.request_stack.push(request)
    try:
        yield
    finally:
        task.request_stack.pop()
        _task_stack.pop()


def _as_error(error: Exception, task: Any) -> Exception:
    """What is Celery's way of speaking, in ours."""
    if isinstance(error, Retry):
        cause = error.exc if isinstance(error.exc, BaseException) else error
        return TryAgain(cause, _seconds(error.when, task))
    if isinstance(error, Reject):
        reason = error.reason if isinstance(error.reason, Exception) else Permanent(str(error))
        return TryAgain(reason, 0.0) if error.requeue else reason
    if isinstance(error, Ignore):
        return Permanent(f"it raised {error!r}: a step has a result or fails")
    return error


def _seconds(when: Any, task: Any) -> float:
    if isinstance(when, datetime):
        app = task.app
        return max(0.0, (maybe_make_aware(when, app.timezone) - app.now()).total_seconds())
    return max(0.0, float(when or 0.0))


def _hook(hook: Callable[..., Any], *args: Any) -> None:
    """What a handler raises is no outcome of its step."""
    try:
        hook(*args)
    except Exception:
        log.exception("%s raised", getattr(hook, "__qualname__", hook))


def _tell(signal: Any, sender: Task, /, **said: Any) -> None:
    if signal.receivers:
        signal.send(sender=sender, **said)
