"""What a person may have undone, and why not; decided from the steps of a saga that is held."""

from collections.abc import Iterable
from dataclasses import replace

from saga.core.rows import StepRow
from saga.core.states import ENDED, FORWARD, SagaStatus
from saga.core.undo.plan import Choice
from saga.core.undo.preview import Preview, preview_undos
from saga.core.undo.reopening import pivot_under_way
from saga.errors import Conflict, InvalidInput, SagaEnded
from saga.storage.turning.by_hand import Held

_UNDOABLE = (*FORWARD, SagaStatus.COMPLETED, SagaStatus.PARTLY_COMPENSATED)


def choice_of(only: Iterable[int], since: int | None) -> Choice:
    """The steps at the positions of `only`, or those from `since` on. Raises InvalidInput."""
    positions = frozenset(only)
    wrong = [p for p in (*positions, *([] if since is None else [since])) if p < 1]
    if wrong:
        raise InvalidInput(f"position: 1 or more, not {wrong[0]}")
    return Choice(positions or None, since or 0)


def preview_of(held: Held, rows: list[StepRow], choice: Choice) -> Preview:
    """What `refuse_compensation` lets through, or why it does not. Raises InvalidInput."""
    planned = _planned(rows, choice)
    try:
        _refuse(held, rows, planned)
    except Conflict as refusal:
        status = SagaStatus(held.status)
        return replace(planned, undos=(), verdict=status, refused=str(refusal))
    return planned


def refuse_compensation(held: Held, rows: list[StepRow], choice: Choice) -> None:
    """Raises Conflict for a saga that cannot be compensated or has nothing to undo, and
    InvalidInput.
    """
    _refuse(held, rows, _planned(rows, choice))


def refuse_cancel(held: Held, rows: list[StepRow]) -> None:
    """Raises SagaEnded for a saga that does not go forward, and Conflict from its pivot on."""
    if held.status not in FORWARD:
        raise SagaEnded(f"{_named(held)} cannot be cancelled: it is {held.status}")
    _refuse_at_pivot(held, rows)
    _refuse_past_pivot(held, rows)


def _planned(rows: list[StepRow], choice: Choice) -> Preview:
    known = {row.position for row in rows if row.intent.kind in ("step", "child")}
    strange = sorted((choice.only or frozenset()) - known)
    if strange:
        raise InvalidInput(f"only: there is no step at position {strange[0]}")
    return preview_undos(rows, "operator", choice)


def _refuse(held: Held, rows: list[StepRow], preview: Preview) -> None:
    if held.status not in _UNDOABLE:
        raise Conflict(f"{_named(held)} cannot be compensated: it is {held.status}")
    _refuse_at_pivot(held, rows)
    if not preview.undos and held.status in ENDED:
        raise Conflict(f"{_named(held)}: there is nothing to undo{_reasons(preview)}")


def _refuse_at_pivot(held: Held, rows: list[StepRow]) -> None:
    pivot = pivot_under_way(rows)
    if pivot is not None and held.status not in ENDED:
        raise Conflict(
            f"{_named(held)} is at its pivot {pivot.intent.name} (step {pivot.position}), which is "
            f"{pivot.state}: how that ends decides whether it can turn round"
        )


def _refuse_past_pivot(held: Held, rows: list[StepRow]) -> None:
    pivot = next((row for row in rows if row.intent.pivot and row.state == "succeeded"), None)
    if pivot is not None:
        raise Conflict(
            f"{_named(held)} is past its pivot {pivot.intent.name} (step {pivot.position}): it "
            "only goes forward. What came after the pivot can be compensated by hand"
        )


def _reasons(preview: Preview) -> str:
    told = [f"step {row.position} {row.intent.name}: {why}" for row, why in preview.stands]
    return f" ({'; '.join(told[:5])})" if told else ""


def _named(held: Held) -> str:
    return f"saga {held.name} {held.id}"
