"""`saga blocked`."""

from collections.abc import Sequence

import click
from rich.console import Console

from saga.client.units import clock
from saga.client.why import error_text
from saga.core.saga_filter import SagaFilter
from saga.operations.cli.clients import reading
from saga.operations.cli.filters import filtering
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import cursor, limit
from saga.operations.cli.safe import compact
from saga.operations.cli.settings import settings
from saga.storage.queries import (
    BlockedItem,
    Cursor,
    Page,
    StrandedItem,
    blocked,
    find_saga,
    stranded,
)


@click.command("blocked", cls=SagaCommand)
@click.argument("saga_id", metavar="[ID]", required=False)
@filtering()
@limit
@cursor
def command(*, saga_id: str | None, wanted: SagaFilter, limit: int, cursor: str | None) -> None:
    """List the work items: steps and undos that a person must decide on; and those that no worker
    that was asked can run, as after a compensation was renamed.

    --step and --error are of what is blocked itself.
    """
    after = Cursor.parse(cursor) if cursor else None
    with reading() as connection:
        found = find_saga(connection, saga_id) if saga_id else None
        page = blocked(connection, found, wanted, limit=limit, after=after)
        all_of_them = not after and wanted.is_empty
        unknown = stranded(connection, found, limit=limit) if all_of_them else ()
    value = {
        "blocked": page.rows,
        "next": str(page.next) if page.next else None,
        "stranded": unknown,
    }
    settings().output.emit(value, lambda screen: _render(screen, page, unknown))


def _render(screen: Console, page: Page[BlockedItem], unknown: Sequence[StrandedItem]) -> None:
    if page.rows:
        _show_blocked(screen, page)
    elif not unknown:
        screen.print("Nothing is blocked.")
    if unknown:
        screen.print("These go on when a worker that knows them serves their queue:")
        _show_stranded(screen, unknown)


def _show_stranded(screen: Console, rows: Sequence[StrandedItem]) -> None:
    show_table(
        screen,
        ["SAGA", "ID", "POSITION", "WHAT", "QUEUE", "SINCE", "WHY"],
        [
            [
                row.saga_name,
                str(row.saga_id),
                str(row.position),
                f"{'undo' if row.undo else 'step'} {row.step}",
                row.queue or "",
                clock(row.since),
                row.note,
            ]
            for row in rows
        ],
        right="POSITION",
    )


def _show_blocked(screen: Console, page: Page[BlockedItem]) -> None:
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
