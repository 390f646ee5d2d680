"""A saga in a test's hand."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, Generic, TypeVar
from uuid import UUID

from saga.client.compensate import choice_of, refuse_cancel, refuse_compensation
from saga.core import codec
from saga.core.declare.definitions import SagaDefinition
from saga.core.states import ENDED, FORWARD, OPEN, SagaStatus, StepState
from saga.core.which_approval import Answer, Asked, answered_before
from saga.errors import SagaEnded, SagaFailed
from saga.storage.turning.by_hand import Held
from saga.testing.play import Play
from saga.testing.tables import Saga, Step

R = TypeVar("R")


class WorldSaga(Generic[R]):
    """A saga that runs in a `World`; `R` is what it returns."""

    def __init__(self, play: Play, saga: Saga, definition: SagaDefinition[..., R]) -> None:
        self._play = play
        self._saga = saga
        self._definition = definition

    # -- what came of it

    @property
    def id(self) -> UUID:
        """The same in each run of the test."""
        return self._saga.id

    @property
    def status(self) -> str:
        """Where it stands: see `saga.core.states.SagaStatus`."""
        return str(self._saga.status)

    @property
    def error(self) -> dict[str, Any] | None:
        """Why it failed: `{"type", "message", "step"?, "name"?}`."""
        return json.loads(self._saga.error) if self._saga.error else None

    @property
    def exposed(self) -> Any:
        """What its code last gave to `expose()`."""
        return json.loads(self._saga.exposed) if self._saga.exposed else None

    @property
    def waits_for(self) -> list[str]:
        """What it waits for, as `approval refund`, `signal paid`, `timer sleep`; `person charge` if
        somebody has to decide on a step.
        """
        steps = _in_order(self._saga)
        return [_wait(step) for step in steps if step.state in OPEN]

    @property
    def stands(self) -> list[str]:
        """The steps whose effect stands, or may stand, in the order of their start; with those of
        its children. A step that is `read_only` has none.
        """
        return [step.intent.name for saga in self._family() for step in _standing(saga)]

    @property
    def undone(self) -> list[str]:
        """The steps that were undone, in that order; with those of its children."""
        family = {saga.id: saga for saga in self._family()}
        keys = reversed(dict.fromkeys(reversed(self._play.tables.undone)))
        steps = (family[key.saga_id].steps[key.position, False] for key in keys if key[0] in family)
        return [step.intent.name for step in steps if step.intent.kind == "step"]

    def attempts(self, step: Any) -> list[int]:
        """How often each call of a step was attempted, in the order of the calls."""
        name = getattr(step, "name", step)
        return [
            row.attempt
            for row in _in_order(self._saga)
            if not row.key.undo and row.intent.kind == "step" and row.intent.name == name
        ]

    def result(self) -> R:
        """What it returns. Time passes until it ends; what nobody answers in time is late then.

        Raises SagaFailed for any end but `completed`, and if it waits for what no time brings.
        """
        saga = self._play.finish(self._saga.id)
        if saga.status == SagaStatus.COMPLETED:
            return self._definition.decode_result(saga.result or "null")
        raise SagaFailed(self._why(), self.status, self.error)

    def _why(self) -> str:
        told, error = f"saga {self._saga.name} is {self.status}", self.error or {}
        if self._saga.status == SagaStatus.PARKED:
            return f"{told}: {self._saga.note}"
        if self._saga.status not in ENDED:
            return f"{told}, and waits for {', '.join(self.waits_for)}"
        return f"{told}: {error.get('type')}: {error.get('message')}"

    # -- what people do

    def signal(self, name: str, payload: Any = None) -> None:
        """Sends a signal, and lets the saga go on."""
        if self._saga.status not in FORWARD:
            raise SagaEnded(f"{self!r} takes no signals: it is {self.status}")
        self._play.signal(self._saga, name, codec.encode(payload, f"signal {name}"))
        self._play.settle()

    def approve(
        self,
        name: str | None = None,
        *,
        position: int | None = None,
        by: str = "unknown",
        reason: str | None = None,
    ) -> int:
        """Approves what it asks for, and lets it go on; see `Client.approve`."""
        return self._answer(Answer(name, position, True, by, reason))

    def reject(
        self,
        name: str | None = None,
        *,
        position: int | None = None,
        by: str = "unknown",
        reason: str | None = None,
    ) -> int:
        """Rejects what it asks for, and lets it go on."""
        return self._answer(Answer(name, position, False, by, reason))

    def _answer(self, given: Answer) -> int:
        asked = [s for s in _in_order(self._saga) if s.intent.kind == "approval"]
        fitting = [s for s in asked if given.name in (None, s.intent.name)]
        if given.position is not None:
            fitting = [s for s in fitting if s.key.position == given.position]
        if len(fitting) != 1 or fitting[0].state != StepState.WAITING:
            known = [Asked(s.key.position, s.intent.name, s.state, s.result, False) for s in asked]
            return answered_before(given, known, repr(self))
        self._play.answer(self._saga, fitting[0], given.stored)
        self._play.settle()
        return fitting[0].key.position

    def cancel(self, *, reason: str | None = None) -> None:
        """Stops it, and undoes what it did; see `Client.cancel`."""
        refuse_cancel(self._held(), self._saga.rows)
        self._turn_round("cancel", "Cancelled", reason or "cancelled")

    def compensate(
        self, *, only: Collection[int] = (), since: int | None = None, reason: str = "by hand"
    ) -> None:
        """Undoes what it did, or some of it; see `Operator.compensate`."""
        choice = choice_of(only, since)
        refuse_compensation(self._held(), self._play.store.load_steps(self.id), choice)
        self._saga.undo_only, self._saga.undo_from = choice.only, choice.since or None
        self._turn_round("operator", "Compensated", reason)

    def _turn_round(self, cause: str, kind: str, reason: str) -> None:
        self._play.turn_round(self._saga, cause, json.dumps({"type": kind, "message": reason}))
        self._play.settle()

    def _held(self) -> Held:
        saga = self._saga
        return Held(
            saga.id, saga.name, saga.queue, saga.status, saga.undo_cause, saga.error, saga.parent
        )

    # -- within

    def _family(self) -> Iterable[Saga]:
        """Itself and its children, and theirs."""
        ids = {self._saga.id}
        for saga in self._play.tables.sagas.values():  # parents come before their children
            if saga.id in ids or saga.parent in ids:
                ids.add(saga.id)
                yield saga

    def __repr__(self) -> str:
        return f"<{self._saga.name} {self.status}>"


def _in_order(saga: Saga) -> list[Step]:
    return [saga.steps[key] for key in sorted(saga.steps)]


def _standing(saga: Saga) -> Iterable[Step]:
    for step in _in_order(saga):
        undo = saga.steps.get((step.key.position, True))
        is_undone = undo is not None and undo.state == StepState.SUCCEEDED
        is_effect = step.intent.kind == "step" and not (step.key.undo or step.intent.read_only)
        if is_effect and not is_undone and (step.in_doubt or step.state == StepState.SUCCEEDED):
            yield step


def _wait(step: Step) -> str:
    if step.state == StepState.BLOCKED:
        return f"person {step.intent.name}"
    return " ".join(step.intent.signature)
