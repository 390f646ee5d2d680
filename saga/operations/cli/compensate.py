"""`saga compensate`."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import click
from rich.console import Console

from saga.core.undo.preview import Preview
from saga.operations.bulk import Target
from saga.operations.cli.clients import client
from saga.operations.cli.ends import Ends, awaited
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import REASON, actor, by, needed
from saga.operations.cli.safe import compact, safe
from saga.operations.cli.selection import Selection, selecting
from saga.operations.cli.settings import settings


@click.command("compensate", cls=SagaCommand)
@selecting()
@click.option(
    "--only", type=click.IntRange(1), multiple=True, metavar="POSITION", help="Repeatable."
)
@click.option("--from", "since_position", type=click.IntRange(1), metavar="POSITION")
@click.option("--reason", help="Why, for the records. Needed unless it is a dry run.")
@by
@awaited
def command(
    *,
    only: tuple[int, ...],
    since_position: int | None,
    reason: str | None,
    by: str | None,
    wait_for: float | None,
    **selected: Any,
) -> int:
    """Undo what sagas did, also those that have completed.

    All of it, the steps at the positions of --only, or those from --from on; a saga on its way is
    stopped first. The undos run on workers, in reverse order of start. A dry run shows them. A
    filter that names no status is of those that completed.
    """
    selection = Selection(**selected)
    why = "" if selection.dry_run else needed("--reason", reason, REASON)
    found = selection.sagas("completed")
    with client() as talking:
        operator = talking.operator(actor(by))
        if selection.dry_run:
            previews = {
                one.id: operator.preview(one.id, only=only, since=since_position) for one in found
            }
            value = {"previews": [_shown(one, preview) for one, preview in previews.items()]}
            settings().output.emit(value, lambda screen: _render(screen, previews))
            return 0

        ends = Ends(talking, wait_for)

        def act(one: Target) -> None:
            hoped_for = {"compensated"}
            if ends.are_awaited:  # what stands because nobody wants it undone is no failure
                hoped_for.add(operator.preview(one.id, only=only, since=since_position).verdict)
            operator.compensate(one.id, only=only, since=since_position, reason=why)
            ends.wait(one.id, hoped_for)

        return selection.act(found, act, "what it did is being undone: see `saga show`", ends)


def _shown(saga_id: UUID, preview: Preview) -> dict[str, Any]:
    return {
        "id": saga_id,
        "verdict": preview.verdict,
        "refused": preview.refused,
        "undos": [
            {
                "wave": undo.wave,
                "position": undo.step.position,
                "step": undo.step.intent.name,
                "compensation": undo.step.intent.compensation,
                "queue": undo.step.intent.undo_queue or undo.step.intent.queue,
                "result": _parsed(undo.step.result),
                "args": _parsed(undo.step.intent.args),
                "provisional": undo.provisional,
            }
            for undo in preview.undos
        ],
        "stands": [
            {"position": row.position, "step": row.intent.name, "why": why}
            for row, why in preview.stands
        ],
    }


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _render(screen: Console, previews: dict[UUID, Preview]) -> None:
    if not previews:
        screen.print("nothing fits the filter")
    for saga_id, preview in previews.items():
        _render_one(screen, saga_id, preview)


def _render_one(screen: Console, saga_id: UUID, preview: Preview) -> None:
    if preview.refused:
        screen.print(safe(f"It would be refused: {preview.refused}"), markup=False)
        return
    if not preview.undos:
        screen.print(f"{saga_id} would be stopped, and nothing undone.", markup=False)
    else:
        screen.print(f"{saga_id} would be undone in this order:", markup=False)
        rows: list[Sequence[str]] = [
            [
                str(undo.wave),
                str(undo.step.position),
                safe(undo.step.intent.name),
                safe(undo.step.intent.compensation or "(a child saga undoes itself)"),
                compact(_parsed(undo.step.result), 60),
                compact(_parsed(undo.step.intent.args), 60),
                "still runs: unless it turns out to have had no effect" if undo.provisional else "",
            ]
            for undo in preview.undos
        ]
        titles = ["WAVE", "#", "STEP", "UNDO", "ITS RESULT", "ARGUMENTS", ""]
        show_table(screen, titles, rows, right="WAVE #")
    for row, why in preview.stands:
        what = f"step {row.position} {row.intent.name} stays as it is: {why}"
        screen.print(safe(what), markup=False)
    ending = f"it ends {preview.verdict}."
    screen.print(f"If every undo succeeds {ending}" if preview.undos else f"So {ending}")
