"""`saga blocked`."""

import click
from rich.console import Console

from saga.operations.cli.clients import reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import cursor, limit
from saga.operations.cli.safe import compact
from saga.operations.cli.settings import settings
from saga.operations.units import clock
from saga.operations.why import error_text
from saga.storage.queries import BlockedItem, Cursor, Page, blocked, find_saga


@click.command("blocked", cls=SagaCommand)
@click.argument("saga_id", metavar="[ID]", required=False)
@limit
@cursor
def command(saga_id: str | None, limit: int, cursor: str | None) -> None:
    """List the work items: steps and undos that a person must decide on."""
    after = Cursor.parse(cursor) if cursor else None
    with reading() as connection:
        found = find_saga(connection, saga_id) if saga_id else None
        page = blocked(connection, found, limit=limit, after=after)
    value = {"blocked": page.rows, "next": str(page.next) if page.next else None}
    settings().output.emit(value, lambda screen: _render(screen, page))


def _render(screen: Console, page: Page[BlockedItem]) -> None:
    if not page.rows:
        screen.print("Nothing is blocked.")
        return
    show_table(
        screen,
        ["SAGA", "ID", "POSITION", "WHAT", "IN DOUBT", "SINCE", "ATTEMPTS", "WHY", "ARGUMENTS"],
        [
            [
                row.saga_name,
                str(row.saga_id),
                str(row.position),
                f"{'undo' if row.undo else 'step'} {row.step}",
                "yes" if row.in_doubt else "no",
                clock(row.since) if row.since else "",
                str(row.attempts),
                error_text(row.error) or row.reason or "",
                compact(row.args, 60),
            ]
            for row in page.rows
        ],
        right="POSITION ATTEMPTS",
    )
    if page.next:
        screen.print(f"More: --cursor {page.next}", markup=False)
