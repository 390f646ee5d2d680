"""An attempt of a step or an undo: run the user's function, outside any transaction."""

import asyncio
import inspect
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

from saga.core import context, failures
from saga.core.context import StepContext
from saga.core.declare.definitions import Compensation, StepDefinition
from saga.core.declare.retry import Retry, TryAgain
from saga.engine.attempt.catalog import Catalog
from saga.engine.attempt.event_loop import EventLoopThread
from saga.engine.attempt.work import FinalState, OpenState, Outcome, Work
from saga.errors import Unknown, WorkerLost
from saga.failpoint import failpoint

log = logging.getLogger("saga.step")

_RAISED = (Exception, SystemExit, asyncio.CancelledError)  # by the user's code: no end of ours
_EXHAUSTED = "no attempts left, and nobody knows whether it happened"
_NONE_LEFT = "no attempts left; none had an effect"
_TIME_WAS_UP = "its time was up, and no attempts are left; none had an effect"
_NOT_ANSWERED = "whoever asked the probe did not come back"


class Attempts:
    """Runs attempts with the functions of a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.loop = EventLoopThread()

    def run(self, work: Work, connection: Any = None) -> Outcome:
        """The attempt's outcome; raises nothing that the user's code raised."""
        ctx = StepContext(
            work.key.saga_id,
            work.key.position,
            work.attempt,
            work.idempotency_key,
            work.saga_name,
            work.intent.name,
            connection,
            work.tries,
        )
        with context.running(ctx):
            if work.key.undo:
                return self._undo(self._catalog.undo(work.intent.name), work)
            return self._step(self._catalog.step(work.intent.name), work)

    # -- forward

    def _step(self, step: StepDefinition[..., Any], work: Work) -> Outcome:
        try:
            values = step.decode_args(work.intent.args)
        except Exception as error:  # a validator of the user's may raise anything
            return _bad("failed", error, work.in_doubt)
        leaves_no_trace = _leaves_no_trace(step)
        in_doubt = work.in_doubt and not leaves_no_trace
        if in_doubt:
            answer = self._ask_probe(step, values, work)
            if answer is not None:
                return answer
            in_doubt = step.prober is None
        why = _given_up(work, step.retry, in_doubt, leaves_no_trace)
        return _bad("failed", why, in_doubt) if why else self._call(step, values, work, in_doubt)

    def _call(
        self, step: StepDefinition[..., Any], values: dict[str, Any], work: Work, in_doubt: bool
    ) -> Outcome:
        failpoint("P6")
        try:
            value = self._run(step.call, values, step.timeout)
            failpoint("P7")
        except _RAISED as error:
            return _ended_badly(error, step.retry, work, in_doubt, harmless=step.read_only)
        try:
            return Outcome("succeeded", step.encode_result(value))
        except Exception as error:
            return _bad("failed", error, not step.read_only)

    def _ask_probe(
        self, step: StepDefinition[..., Any], values: dict[str, Any], work: Work
    ) -> Outcome | None:
        """The outcome that the probe settles, or None to go on with the attempt."""
        if step.prober is None:
            if step.on_unknown == "ask" and not work.is_wanted_by_a_person:
                return Outcome(
                    "blocked", in_doubt=True, reason="its outcome is unknown: a person decides"
                )
            return None
        if work.lost > step.retry.max_losses or work.tries > step.retry.max_attempts + 1:
            error = _lost(work) if work.lost else Unknown(_NOT_ANSWERED)
            return _bad("blocked", error, in_doubt=True, reason=_NOT_ANSWERED)
        try:
            found = self._run(step.call_probe, values, step.timeout)
            result = None if found is None else step.encode_result(found)
        except _RAISED as error:  # or no result of this step
            return _unanswered(error, step.retry, work)
        if result is None:
            return None
        return Outcome("succeeded", result, reason="the probe found it done")

    # -- backward

    def _undo(self, undo: Compensation, work: Work) -> Outcome:
        why = _given_up(work, undo.retry, in_doubt=True)
        if why is not None:
            return _bad("blocked", why, in_doubt=True, reason=str(why))
        try:
            result = work.result
            if result is None:
                found = self._find_effect(undo, work)
                if isinstance(found, Outcome):
                    return found
                result = found
            values = undo.arguments(result, work.intent.args)
        except Exception as error:
            return _bad("blocked", error, in_doubt=False, reason="its arguments do not fit")
        failpoint("P6U")
        try:
            self._run(undo.call, values, undo.timeout)
            failpoint("P7U")
        except _RAISED as error:
            return _ended_badly(error, undo.retry, work, work.in_doubt, harmless=False)
        return Outcome("succeeded", "null", in_doubt=result is None)

    def _find_effect(self, undo: Compensation, work: Work) -> str | Outcome | None:
        """For a step of unknown outcome: the result that its probe finds; an Outcome when there is
        nothing to undo.
        """
        step = undo.step
        if _leaves_no_trace(step):
            return Outcome("succeeded", "null", reason="it had no effect")
        if step.prober is None:
            return None
        key = work.key
        forward = replace(
            context.current(),
            idempotency_key=context.idempotency_key(key.saga_id, key.position),
            step_name=step.name,
        )
        try:
            with context.running(forward):
                found = self._run(step.call_probe, step.decode_args(work.intent.args), step.timeout)
                result = None if found is None else step.encode_result(found)
        except _RAISED as error:
            return _ended_badly(error, undo.retry, work, work.in_doubt, harmless=True)
        if result is None:
            reason = "the probe found nothing to undo"
            return Outcome("succeeded", "null", in_doubt=True, reason=reason)
        return result

    # -- both

    def _run(
        self,
        call: Callable[[dict[str, Any]], Any],
        values: dict[str, Any],
        timeout: timedelta | None,
    ) -> Any:
        try:
            result = call(values)
        except SystemExit as told:
            if type(told) is not SystemExit:  # Celery's, in its main thread: no outcome of the step
                raise KeyboardInterrupt from told
            raise
        if inspect.iscoroutine(result):
            return self.loop.run(_in_context(result, context.current()), timeout)
        return result

    def rolled_back(self, work: Work, error: BaseException, always_retried: bool) -> Outcome:
        """The outcome of a transactional attempt whose transaction ended with `error`."""
        retry = self._catalog.step(work.intent.name).retry
        if always_retried:
            retry = replace(retry, retry_on=(Exception,), give_up_on=())
        return _ended_badly(error, retry, work, in_doubt=False, harmless=True)


def _ended_badly(
    error: BaseException, retry: Retry, work: Work, in_doubt: bool, harmless: bool
) -> Outcome:
    """Retry, give up, or unknown. A failed undo is never the end of it: it is blocked."""
    verdict = retry.classify(error)
    doubt = in_doubt or (verdict == "unknown" and not harmless)
    pause = retry.pause(error, work.tries, random.random())
    goes_on = retry.goes_on(error, work.tries)
    error = error.cause if isinstance(error, TryAgain) else error
    log.info("%s %s attempt %d: %s", work.intent.name, work.key, work.attempt, type(error).__name__)
    if goes_on:
        state = "unknown" if doubt and verdict == "unknown" else "retrying"
        return _bad(state, error, doubt, retry_in=pause)
    if work.key.undo:
        return _bad("blocked", error, doubt)
    if verdict == "unknown" and doubt and retry.asks_the_probe_last:
        return _bad("unknown", error, in_doubt=True, retry_in=pause)
    return _bad("failed", error, doubt)


async def _in_context(coroutine: Coroutine[Any, Any, Any], ctx: StepContext) -> Any:
    """The step's context belongs to the thread that took it up; its coroutine runs in another."""
    with context.running(ctx):
        return await coroutine


def _given_up(
    work: Work, retry: Retry, in_doubt: bool, leaves_no_trace: bool = False
) -> Exception | None:
    """Why this attempt is not made; None if it is."""
    if work.lost >= retry.max_losses:
        return _lost(work)
    if not retry.is_used_up(work.tries, in_doubt):
        return None
    if leaves_no_trace:
        return TimeoutError(_TIME_WAS_UP)
    return Unknown(_EXHAUSTED if in_doubt else _NONE_LEFT)


def _lost(work: Work) -> WorkerLost:
    return WorkerLost(f"{work.lost} workers in a row were lost while they ran it")


def _leaves_no_trace(step: StepDefinition[..., Any]) -> bool:
    """Whether an attempt without an outcome did nothing: it only reads, or was rolled back."""
    return step.read_only or step.transactional


def _unanswered(error: BaseException, retry: Retry, work: Work) -> Outcome:
    """The probe is asked again as long as there are attempts, then a person is."""
    if work.tries >= retry.max_attempts:
        return _bad("blocked", error, in_doubt=True, reason="the probe does not answer")
    pause = retry.pause(error, work.tries, random.random())
    return _bad("unknown", error, in_doubt=True, retry_in=pause, reason="probe failed")


def _bad(
    state: FinalState | OpenState,
    error: BaseException,
    in_doubt: bool,
    *,
    retry_in: float | None = None,
    reason: str | None = None,
) -> Outcome:
    """An outcome that an exception says everything of."""
    return Outcome(
        state,
        error=failures.describe(error, **({"in_doubt": True} if in_doubt else {})),
        in_doubt=in_doubt,
        retry_in=retry_in,
        reason=reason or failures.brief(error),
        traceback=failures.traceback_of(error),
        cause=error,
    )
