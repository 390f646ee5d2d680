"""What a person may do to sagas: stop them, undo them, decide on what is blocked, try again.

Each action is one short transaction: it holds the saga's row, so of two people who act at once
one wins and the other gets Conflict; either way there is a row in the audit trail with the person's
name. A crash leaves an action done or not done. What is lost with the process is only the wake-up,
and the sweeper sends that again.
"""

import json
from collections.abc import Callable, Collection
from typing import Any, Literal, TypeVar
from uuid import UUID

import psycopg

from saga.client.compensate import choice_of, preview_of, refuse_cancel, refuse_compensation
from saga.client.connections import Connections
from saga.client.requests import as_uuid, check_words
from saga.client.resolve import Resolution, resolve
from saga.client.retry import retry
from saga.core.rows import StepRow
from saga.core.undo.plan import EVERYTHING, Choice
from saga.core.undo.preview import Preview
from saga.core.which_approval import Answer
from saga.errors import Conflict, SagaError, SagaNotFound
from saga.storage import audit
from saga.storage.hot.store import Store
from saga.storage.turning import by_hand
from saga.storage.turning.by_hand import Held
from saga.wakeups.message import ADVANCE, Publisher, WakeUp

T = TypeVar("T")
Work = Callable[[psycopg.Connection, Held], list[WakeUp]]

DUE_IN = 2.0  # seconds until the sweeper looks, should our wake-up be lost


class Operator:
    """Acts in one person's name; made by `Client.operator(by)`. Safe for threads.

    Every method raises SagaNotFound for an id that does not exist, InvalidInput, and Unavailable
    when Postgres is away, which says nothing about whether the action was carried out.
    """

    def __init__(
        self, connections: Connections, publisher: Callable[[], Publisher], by: str
    ) -> None:
        self._connections = connections
        self._publisher = publisher
        self.by = check_words(by, "by")

    # -- undoing

    def preview(
        self, saga_id: UUID | str, *, only: Collection[int] = (), since: int | None = None
    ) -> Preview:
        """What `compensate` with the same arguments would undo, in which order, and what would
        stand all the same and why; or that it would be refused. Changes nothing.
        """
        identity, choice = as_uuid(saga_id), choice_of(only, since)

        def look(connection: psycopg.Connection) -> Preview:
            held = by_hand.look(connection, identity)
            if held is None:
                raise SagaNotFound(f"there is no saga {identity}")
            return preview_of(held, _rows(connection, held), choice)

        return self._connections.transact(look)

    def compensate(
        self,
        saga_id: UUID | str,
        *,
        only: Collection[int] = (),
        since: int | None = None,
        reason: str,
    ) -> None:
        """Undoes what a saga did: all of it, the steps at the positions of `only`, or those from
        the position `since` on. Returns at once; the undos run on workers, in reverse order.

        One that is on its way is stopped first. The choice is stored with the saga, so that a
        crash resumes it; if something stands at the end, the saga is partly compensated. Raises
        Conflict if the saga is being compensated, has nothing left to undo, or is at its pivot.
        """
        choice = choice_of(only, since)
        details = {"only": sorted(only) or None, "from": since}

        def work(connection: psycopg.Connection, held: Held) -> list[WakeUp]:
            refuse_compensation(held, _rows(connection, held), choice)
            return self._turn_round(connection, held, "operator", choice, reason)

        self._act("compensate", saga_id, work, reason=reason, details=details)

    def cancel(self, saga_id: UUID | str, *, reason: str | None = None) -> None:
        """Stops a saga and undoes what it did.

        Raises SagaEnded if it does not go forward any more, and Conflict if it is past a pivot, or
        at one: from there it only goes forward.
        """

        def work(connection: psycopg.Connection, held: Held) -> list[WakeUp]:
            refuse_cancel(held, _rows(connection, held))
            return self._turn_round(connection, held, "cancel", EVERYTHING, reason)

        self._act("cancel", saga_id, work, reason=reason)

    def _turn_round(
        self,
        connection: psycopg.Connection,
        held: Held,
        cause: str,
        choice: Choice,
        reason: str | None,
    ) -> list[WakeUp]:
        kind = "Cancelled" if cause == "cancel" else "Compensated"
        error = json.dumps({"type": kind, "message": reason or kind.lower()})
        by_hand.turn_round(
            connection,
            held.id,
            cause=cause,
            choice=choice,
            error=error,
            actor=self.by,
            reason=reason,
            due_in=DUE_IN,
        )
        return [WakeUp(held.queue, ADVANCE, held.id)]

    # -- deciding

    def resolve(
        self,
        saga_id: UUID | str,
        position: int,
        action: Literal["retry", "skip", "done"],
        *,
        undo: bool | None = None,
        result: Any = None,
        reason: str | None = None,
    ) -> None:
        """Decides on a blocked step or undo. `undo` says which, if both are blocked.

        `retry` tries it again with a fresh budget of attempts; the saga must go forward for a
        step. `skip` goes on without it and needs a reason: the saga's code gets a StepFailed of
        type `Skipped`; a step that may have happened all the same is undone if the saga is. `done`
        says that it was done by hand, with what the step would have returned.
        Raises Conflict if there is nothing blocked at that position, or not any more.
        """
        wanted = Resolution(position, action, undo, result, reason)
        wanted.check()

        def work(connection: psycopg.Connection, held: Held) -> list[WakeUp]:
            return resolve(connection, held, wanted, self.by, DUE_IN)

        details = {"undo": undo}
        self._act(action, saga_id, work, position=position, reason=reason, details=details)

    def retry(self, saga_id: UUID | str, *, reason: str | None = None) -> None:
        """Lets a saga that failed go on from its failed step, with a fresh budget of attempts.

        The failure is taken out of the journal, and the code of today decides anew: the step that
        failed gets the arguments that the code has for it now. One that may have had an effect is
        asked with those of its history only: with others the saga is parked, with both in its
        note; so is one whose child was started with others. What failed or was cancelled and is
        not asked for any more does not run. Steps and children that the code asked for after the
        failure are not done twice: asked for again, they give what they gave. Waits have as much
        time left as when the saga ended. One that is on its way makes the attempts that it waits
        for now, and looks into unknown outcomes; their budget stays. A parked one decides anew.
        Raises Conflict if there is nothing of that, or the saga has undone anything.
        """

        def work(connection: psycopg.Connection, held: Held) -> list[WakeUp]:
            return retry(connection, held, self.by, reason, DUE_IN)

        self._act("retry", saga_id, work, reason=reason, family=True)

    def note_refused(self, answer: Answer, saga_id: UUID, refusal: Conflict) -> None:
        """Writes down how this person answered an approval in vain."""
        self._connections.transact(
            lambda connection: audit.audit(
                connection,
                actor=self.by,
                action=answer.action,
                saga_id=saga_id,
                position=answer.position,
                reason=answer.reason,
                refused=str(refusal),
            )
        )

    # -- the transaction

    def _act(
        self,
        action: str,
        saga_id: UUID | str,
        work: Work,
        *,
        position: int | None = None,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
        family: bool = False,
    ) -> None:
        """Carries out and writes down; a refusal is written down, too."""
        identity = as_uuid(saga_id)
        if reason is not None:
            check_words(reason, "reason")

        def act(connection: psycopg.Connection) -> list[WakeUp] | SagaError:
            held = (
                by_hand.hold_family(connection, identity).get(identity)
                if family
                else by_hand.hold(connection, identity)
            )
            if held is None:
                raise SagaNotFound(f"there is no saga {identity}")
            outcome = _attempted(connection, lambda: work(connection, held))
            audit.audit(
                connection,
                actor=self.by,
                action=action,
                saga_id=identity,
                position=position,
                reason=reason,
                refused=str(outcome) if isinstance(outcome, SagaError) else None,
                details=json.dumps(details) if details else None,
            )
            return outcome

        outcome = self._connections.transact(act)
        if isinstance(outcome, SagaError):
            raise outcome
        self._publisher().publish(outcome)


def _attempted(connection: psycopg.Connection, work: Callable[[], T]) -> T | SagaError:
    try:
        with connection.transaction():
            return work()
    except SagaError as refusal:
        return refusal


def _rows(connection: psycopg.Connection, held: Held) -> list[StepRow]:
    return Store(connection).load_steps(held.id)
