"""`saga audit`."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import click
from rich.console import Console

from saga.client.units import clock
from saga.operations.cli.clients import reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import SINCE, limit
from saga.operations.cli.safe import compact, safe
from saga.operations.cli.settings import settings
from saga.storage.queries import AuditRow, audit, find_saga


@click.command("audit", cls=SagaCommand)
@click.argument("saga_id", metavar="[ID]", required=False)
@click.option("--actor", metavar="WHO", help="Only what this person or token did.")
@click.option("--action", metavar="WHAT", help="Only this: start, cancel, approve and so on.")
@click.option("--refused/--done", default=None, help="Only what was refused, or what was done.")
@click.option("--since", type=SINCE, metavar="WHEN", help="Done since: 30m, 2h, 1d, or a time.")
@limit
@click.option("--before", type=click.IntRange(1), metavar="NUMBER", help="Older than this entry.")
def command(
    *,
    saga_id: str | None,
    actor: str | None,
    action: str | None,
    refused: bool | None,
    since: datetime | timedelta | None,
    limit: int,
    before: int | None,
) -> None:
    """Show who did what (to one saga), newest first, and why it was refused if it was."""
    with reading() as connection:
        rows, following = audit(
            connection,
            saga_id=find_saga(connection, saga_id) if saga_id else None,
            actor=actor,
            action=action,
            refused=refused,
            since=since,
            limit=limit,
            before=before,
        )
    value = {"actions": rows, "next": following}
    settings().output.emit(value, lambda screen: _render(screen, rows, following))


def _render(screen: Console, rows: Sequence[AuditRow], following: int | None) -> None:
    if not rows:
        screen.print("Nothing was done.")
        return
    show_table(
        screen,
        ["NUMBER", "AT", "WHO", "WHAT", "SAGA", "POSITION", "REASON", "REFUSED", "DETAILS"],
        [
            [
                str(row.id),
                clock(row.at),
                row.actor,
                row.action,
                str(row.saga_id or ""),
                str(row.position or ""),
                row.reason or "",
                safe(row.refused or "", 120),
                compact(row.details, 80) if row.details else "",
            ]
            for row in rows
        ],
        right="NUMBER POSITION",
    )
    if following:
        screen.print(f"More: --before {following}")
