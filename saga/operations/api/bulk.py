"""One action on many sagas, one after the other."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from saga.core.saga_filter import SagaFilter
from saga.core.states import FORWARD, SagaStatus
from saga.operations import bulk
from saga.operations.api.access import Approver, Operating
from saga.operations.api.filters import FilterBody
from saga.operations.api.params import Body, Words
from saga.operations.api.services import Services, Using
from saga.operations.bulk import Refusal, Target

router = APIRouter(prefix="/v1/bulk", tags=["operating"])

_MARGIN = 2.0  # seconds that the last action and the answer may take


class BulkBody(Body):
    """Which sagas, and how far to go. A filter without a status is of those that it is for."""

    filter: FilterBody
    limit: int = Field(ge=1, le=1000, description="So many at most: try a few first.")
    dry_run: bool = Field(False, description="Only say what it would be done to.")
    keep_going: bool = Field(False, description="Do not stop at the first that is refused.")


class ReasonedBody(BulkBody):
    """Why, for the records."""

    reason: Words | None = None


class CompensateManyBody(BulkBody):
    """All that the sagas did is undone."""

    reason: Words


class SignalManyBody(BulkBody):
    """A signal to each."""

    signal: Words
    payload: Any = None
    dedup_id: Words | None = Field(None, description="It counts once in each saga.")


class ResolveManyBody(ReasonedBody):
    """A decision on what is blocked; the filter's `step` and `error` are of that itself."""

    action: Literal["retry", "skip", "done"]
    undo: bool | None = Field(None, description="Only undos, or only steps.")
    result: Any = Field(None, description="What the steps would have returned.")


class AnswerManyBody(ReasonedBody):
    """An answer to approvals."""

    approval: Words | None = Field(None, description="Only approvals of this name.")


class BulkAnswer(BaseModel):
    """What came of it, one by one. `would`: of a dry run. `stopped`: more were left alone, because
    one was refused, or time was up: ask again.
    """

    done: list[Target] = []
    refused: list[Refusal] = []
    would: list[Target] = []
    stopped: bool = False


@router.post("/cancel")
def cancel(body: ReasonedBody, using: Using, holder: Operating) -> BulkAnswer:
    """Stop sagas and undo what they did."""
    operator = using.operator(holder.name)
    return _act(
        using, body, _sagas(*FORWARD), lambda one: operator.cancel(one.id, reason=body.reason)
    )


@router.post("/retry")
def retry(body: ReasonedBody, using: Using, holder: Operating) -> BulkAnswer:
    """Let failed sagas go on from the step that failed; with `waits_for` (`retry`, `unknown`),
    those on their way make their next attempt now. Children that failed go on with their parents.
    """
    operator = using.operator(holder.name)
    return _act(
        using,
        body,
        lambda connection, wanted, most: bulk.sagas_of(connection, bulk.to_retry(wanted), most),
        lambda one: operator.retry(one.id, reason=body.reason),
    )


@router.post("/compensate")
def compensate(body: CompensateManyBody, using: Using, holder: Operating) -> BulkAnswer:
    """Undo what sagas did, by default those that have completed."""
    operator = using.operator(holder.name)
    return _act(
        using,
        body,
        _sagas(SagaStatus.COMPLETED),
        lambda one: operator.compensate(one.id, reason=body.reason),
    )


@router.post("/signal")
def signal(body: SignalManyBody, using: Using, holder: Operating) -> BulkAnswer:
    """Send a signal to sagas."""

    def act(one: Target) -> None:
        using.client.signal(
            one.id, body.signal, body.payload, dedup_id=body.dedup_id, sender=holder.name
        )

    return _act(using, body, _sagas(*FORWARD), act)


@router.post("/resolve")
def resolve(body: ResolveManyBody, using: Using, holder: Operating) -> BulkAnswer:
    """Decide on steps and undos that are blocked."""
    operator = using.operator(holder.name)

    def act(one: Target) -> None:
        operator.resolve(
            one.id,
            one.position or 0,
            body.action,
            undo=one.undo,
            result=body.result,
            reason=body.reason,
        )

    return _act(
        using,
        body,
        lambda connection, wanted, most: bulk.blocked_of(connection, wanted, body.undo, most),
        act,
    )


@router.post("/approve")
def approve(body: AnswerManyBody, using: Using, holder: Approver) -> BulkAnswer:
    """Approve what sagas ask for."""
    return _answer(using, body, holder.name, approved=True)


@router.post("/reject")
def reject(body: AnswerManyBody, using: Using, holder: Approver) -> BulkAnswer:
    """Reject what sagas ask for."""
    return _answer(using, body, holder.name, approved=False)


def _answer(using: Services, body: AnswerManyBody, by: str, *, approved: bool) -> BulkAnswer:
    answer = using.client.approve if approved else using.client.reject
    return _act(
        using,
        body,
        lambda connection, wanted, most: bulk.approvals_of(connection, wanted, body.approval, most),
        lambda one: answer(one.id, one.what, position=one.position, by=by, reason=body.reason),
    )


_Find = Callable[[Connection, SagaFilter, int | None], Iterable[Target]]


def _sagas(*statuses: SagaStatus) -> _Find:
    return lambda connection, wanted, most: bulk.sagas_of(connection, wanted.of(statuses), most)


def _act(
    using: Services, body: BulkBody, find: _Find, act: Callable[[Target], object]
) -> BulkAnswer:
    wanted = body.filter.wanted()
    found = using.read(lambda connection: list(find(connection, wanted, body.limit)))
    if body.dry_run:
        return BulkAnswer(would=found)
    within = timedelta(seconds=max(0.0, using.settings.timeout - _MARGIN))
    result = bulk.on_each(found, act, keep_going=body.keep_going, within=within)
    return BulkAnswer(done=result.done, refused=result.refused, stopped=result.stopped)
