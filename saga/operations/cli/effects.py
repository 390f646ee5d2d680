"""`saga effects`."""

from datetime import datetime, timedelta

import click
from rich.console import Console
from rich.text import Text

from saga.client.units import clock
from saga.operations.cli.clients import reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import SINCE, cursor, limit
from saga.operations.cli.safe import compact
from saga.operations.cli.settings import settings
from saga.storage.queries import Cursor, Effect, EffectFilter, Page, effects, find_saga
from saga.storage.queries.effects import LATELY, OUTCOMES

_COLOURS = {
    "claimed": "cyan",
    "succeeded": "green",
    "failed": "red",
    "unknown": "magenta",
    "compensated": "yellow",
}


@click.command("effects", cls=SagaCommand)
@click.argument("saga_id", metavar="[ID]", required=False)
@click.option(
    "--standing", is_flag=True, help="Only what succeeded or is in doubt, and not undone."
)
@click.option(
    "--since",
    type=SINCE,
    metavar="WHEN",
    help="Begun since: 30m, 2h, 1d, or a time; by default 1d, of one saga all.",
)
@click.option("--step", "name", help="Only of this step.")
@click.option("--outcome", type=click.Choice(OUTCOMES))
@limit
@cursor
def command(
    *,
    saga_id: str | None,
    standing: bool,
    since: datetime | timedelta | None,
    name: str | None,
    outcome: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """Print the ledger: what a saga, or all of them, did to the outside world, and what stands."""
    after = Cursor.parse(cursor) if cursor else None
    with reading() as connection:
        found = find_saga(connection, saga_id) if saga_id else None
        since = since or (None if found else LATELY)
        wanted = EffectFilter(found, name, outcome, standing, since)
        page = effects(connection, wanted, limit=limit, after=after)
    lately = since == LATELY
    value = {"effects": page.rows, "next": str(page.next) if page.next else None}
    settings().output.emit(value, lambda screen: _render(screen, page, lately=lately))


def _render(screen: Console, page: Page[Effect], *, lately: bool) -> None:
    if not page.rows:
        screen.print("No effects in the last day." if lately else "No effects.")
        return
    show_table(
        screen,
        ["KEY", "STEP", "OUTCOME", "STANDS", "ATTEMPTS", "SINCE", "ARGS", "UNDO", "RECEIPT"],
        [_cells(row) for row in page.rows],
        right="ATTEMPTS",
    )
    if page.next:
        screen.print(f"More: --cursor {page.next}", markup=False)
    elif lately:
        screen.print("That is the last day; for more, --since.")


def _cells(row: Effect) -> list[str | Text]:
    return [
        row.key,
        row.step,
        Text(row.outcome, _COLOURS[row.outcome]),
        "yes" if row.standing else "no",
        str(row.attempts),
        clock(row.claimed_at),
        row.args_hash[:12],
        _undo(row),
        "" if row.receipt is None else compact(row.receipt, 60),
    ]


def _undo(row: Effect) -> str:
    if row.compensation is None:
        return "none declared"
    return f"{row.compensation}: {row.undo}" if row.undo else row.compensation
