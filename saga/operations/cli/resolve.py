"""`saga resolve`."""

from dataclasses import replace
from typing import Any, Literal

import click

from saga.execution.modules import import_each
from saga.operations.bulk import Target, blocked_of
from saga.operations.cli.clients import client, reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.params import JSON, REASON, actor, by, needed
from saga.operations.cli.selection import Selection, selecting
from saga.operations.cli.settings import settings
from saga.storage.queries import find_saga

_Action = Literal["retry", "skip", "done"]
_SAID: dict[_Action, str] = {
    "retry": "it is tried again",
    "skip": "it is skipped",
    "done": "it counts as done",
}


@click.command("resolve", cls=SagaCommand)
@selecting(metavar="[ID POSITION] ACTION")
@click.option("--undo/--forward", default=None, help="Which of the two; else both, one by one.")
@click.option("--result", type=JSON, metavar="JSON", help="What the step would have returned.")
@click.option("--reason", help="Why, for the records; needed to skip.")
@by
def command(
    *, undo: bool | None, result: Any, reason: str | None, by: str | None, **selected: Any
) -> int:
    """Decide on a step or an undo that is blocked, or on all of a filter: see `saga blocked`.

    \b
    retry  try it again, with a fresh budget of attempts and the same idempotency key
    skip   go on without it; a step that may have happened is undone if the saga is
    done   it was done by hand; --result says what the step would have returned

    The filter's --step and --error are of what is blocked itself: one cause, one command.
    """  # noqa: D301 - click's mark for a paragraph that is not wrapped
    selection = Selection(**selected)
    one, action = _parsed(selection)
    if action == "skip" and not selection.dry_run:
        needed("--reason", reason, REASON)
    import_each(settings().app_modules)
    who = actor(by)
    if one is None:
        found = selection.places(
            lambda connection, most: blocked_of(connection, selection.wanted, undo, most)
        )
    else:
        with reading() as connection:
            found = [Target(find_saga(connection, one[0]), position=one[1])]
    with client() as talking:
        operator = talking.operator(who)

        def act(place: Target) -> None:
            which = undo if one is not None else place.undo
            at = place.position or 0
            operator.resolve(place.id, at, action, undo=which, result=result, reason=reason)

        done = f"{_SAID[action]}: see `saga show`"
        if one is None or selection.dry_run:
            return selection.act(found, act, done)
        act(found[0])
    value = {"id": found[0].id, "position": one[1], "action": action, "by": who, "reason": reason}
    settings().output.say(value, done)
    return 0


def _parsed(selection: Selection) -> tuple[tuple[str, int] | None, _Action]:
    """Saga and position, unless a filter says which, and the action. Raises UsageError."""
    if not selection.words:
        raise click.UsageError("Missing argument 'ACTION'")
    *place, action = selection.words
    if action not in _SAID:
        raise click.UsageError(f"ACTION: retry, skip or done, not {action!r}")
    replace(selection, words=place).check(place)
    if not place:
        return None, action
    if len(place) != 2 or not place[1].isdecimal() or not 1 <= int(place[1]) < 2**31:
        raise click.UsageError("want ID POSITION ACTION; POSITION is a number from `saga blocked`")
    return (place[0], int(place[1])), action
