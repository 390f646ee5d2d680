"""`saga resolve`."""

from typing import Any, Literal

import click

from saga.execution.modules import import_each
from saga.operations.cli.clients import client, reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.params import JSON, REASON, actor, by, needed, saga_id
from saga.operations.cli.settings import settings
from saga.storage.queries import find_saga

_SAID = {
    "retry": "it is tried again",
    "skip": "it is skipped",
    "done": "it counts as done",
}


@click.command("resolve", cls=SagaCommand)
@saga_id
@click.argument("position", type=click.IntRange(1))
@click.argument("action", type=click.Choice(["retry", "skip", "done"]))
@click.option("--undo/--forward", default=None, help="Which of the two, if both are blocked.")
@click.option("--result", type=JSON, metavar="JSON", help="What the step would have returned.")
@click.option("--reason", help="Why, for the records; needed to skip.")
@by
def command(
    *,
    saga_id: str,
    position: int,
    action: Literal["retry", "skip", "done"],
    undo: bool | None,
    result: Any,
    reason: str | None,
    by: str | None,
) -> None:
    """Decide on a step or an undo that is blocked: see `saga blocked`.

    \b
    retry  try it again, with a fresh budget of attempts and the same idempotency key
    skip   go on without it; a step that may have happened is undone if the saga is
    done   it was done by hand; --result says what the step would have returned
    """  # noqa: D301 - click's mark for a paragraph that is not wrapped
    if action == "skip":
        needed("--reason", reason, REASON)
    used = settings()
    import_each(used.app_modules)
    who = actor(by)
    with reading() as connection:
        found = find_saga(connection, saga_id)
    with client() as talking:
        talking.operator(who).resolve(
            found, position, action, undo=undo, result=result, reason=reason
        )
    value = {"id": found, "position": position, "action": action, "by": who, "reason": reason}
    used.output.say(value, f"{_SAID[action]}: see `saga show`")
