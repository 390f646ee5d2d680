"""Undoing what a saga did, and looking at that before."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from saga.core.codec import parse
from saga.core.rows import StepRow
from saga.core.states import SagaStatus
from saga.core.undo.preview import Preview
from saga.operations.api.access import Operating, Viewer
from saga.operations.api.actions import Standing, standing
from saga.operations.api.params import LARGEST, Body, Words
from saga.operations.api.services import Using

router = APIRouter(prefix="/v1/sagas/{saga_id}/compensate", tags=["operating"])

_Place = Annotated[int, Field(ge=1, le=LARGEST)]


class ChoiceBody(Body):
    """Which steps to undo; by default all that can be."""

    only: list[_Place] = Field(default_factory=list[int], max_length=1000)
    since: _Place | None = Field(None, alias="from", description="This position and later ones.")


class CompensateBody(ChoiceBody):
    """Which steps to undo, and why."""

    reason: Words


class PlannedStep(BaseModel):
    """A step that would be undone. Those of one `wave` may be undone at once."""

    wave: int
    position: int
    step: str
    undo: str | None
    queue: str | None
    state: str
    provisional: bool = Field(description="It still runs: undone unless it had no effect.")
    args: Any
    result: Any


class StandingStep(BaseModel):
    """A step that would not be undone, and why."""

    position: int
    step: str
    state: str
    why: str


class Plan(BaseModel):
    """What a compensation would do, and how the saga would end; or why it would be refused."""

    undos: list[PlannedStep]
    stands: list[StandingStep]
    status: SagaStatus
    refused: str | None = Field(description="Why nothing would be done, if so.")


_NO_CHOICE = ChoiceBody.model_validate({})


@router.post("/preview")
def preview(saga_id: UUID, using: Using, holder: Viewer, body: ChoiceBody = _NO_CHOICE) -> Plan:
    """Show what `compensate` would undo, in which order and with which arguments."""
    found = using.operator(holder.name).preview(saga_id, only=body.only, since=body.since)
    return _plan(found)


@router.post("", status_code=202)
def compensate(saga_id: UUID, body: CompensateBody, using: Using, holder: Operating) -> Standing:
    """Undo what a saga did, also one that has completed."""
    using.operator(holder.name).compensate(
        saga_id, only=body.only, since=body.since, reason=body.reason
    )
    return standing(saga_id, using)


def _plan(found: Preview) -> Plan:
    return Plan(
        undos=[_planned(p.step, p.wave, p.provisional) for p in found.undos],
        stands=[
            StandingStep(position=row.position, step=row.intent.name, state=row.state, why=why)
            for row, why in found.stands
        ],
        status=found.verdict,
        refused=found.refused,
    )


def _planned(row: StepRow, wave: int, provisional: bool) -> PlannedStep:
    return PlannedStep(
        wave=wave,
        position=row.position,
        step=row.intent.name,
        undo=row.intent.compensation,
        queue=row.intent.undo_queue,
        state=row.state,
        provisional=provisional,
        args=parse(row.intent.args),
        result=parse(row.result) if row.result else None,
    )
