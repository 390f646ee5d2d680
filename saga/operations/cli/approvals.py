"""`saga approvals`, `saga approve` and `saga reject`."""

import click
from rich.console import Console

from saga.operations.cli.clients import client, reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import actor, by, cursor, limit, saga_id
from saga.operations.cli.safe import compact
from saga.operations.cli.settings import settings
from saga.operations.units import clock
from saga.storage.queries import (
    Approval,
    ApprovalFilter,
    Cursor,
    Page,
    approvals,
    find_saga,
)

_DETAILS = 120

_position = click.argument(
    "position", metavar="[POSITION]", type=click.IntRange(1, 2**31 - 1), required=False
)
_name = click.option("--name", help="Only an approval of this name.")
_reason = click.option("--reason", help="Why, for the records.")


@click.command("approvals", cls=SagaCommand)
@click.argument("saga_id", metavar="[ID]", required=False)
@_name
@click.option("--saga", "saga_name", metavar="NAME", help="Only those of this saga.")
@limit
@cursor
def list_(
    *,
    saga_id: str | None,
    name: str | None,
    saga_name: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List the open approvals (of one saga), longest waiting first."""
    after = Cursor.parse(cursor) if cursor else None
    with reading() as connection:
        found = find_saga(connection, saga_id) if saga_id else None
        wanted = ApprovalFilter(name, found, saga_name)
        page = approvals(connection, wanted, limit=limit, after=after)
    value = {"approvals": page.rows, "next": str(page.next) if page.next else None}
    settings().output.emit(value, lambda screen: _render(screen, page))


def _render(screen: Console, page: Page[Approval]) -> None:
    if not page.rows:
        screen.print("Nothing waits for an approval.")
        return
    show_table(
        screen,
        ["SAGA", "ID", "POSITION", "APPROVAL", "SINCE", "UNTIL", "DETAILS"],
        [
            [
                row.saga_name,
                str(row.saga_id),
                str(row.position),
                row.name,
                clock(row.asked_at),
                clock(row.deadline) if row.deadline else "",
                compact(row.details, _DETAILS),
            ]
            for row in page.rows
        ],
        right="POSITION",
    )
    if page.next:
        screen.print(f"More: --cursor {page.next}", markup=False)


@click.command("approve", cls=SagaCommand)
@saga_id
@_position
@_name
@by
@_reason
def approve(
    *, saga_id: str, position: int | None, name: str | None, by: str | None, reason: str | None
) -> None:
    """Approve what a saga asks for at POSITION: see `saga approvals`.

    POSITION may be left out while the saga has asked only once (for an approval of that name). The
    same decision may be sent again.
    """
    _answer(saga_id, position, name, by, reason, approved=True)


@click.command("reject", cls=SagaCommand)
@saga_id
@_position
@_name
@by
@_reason
def reject(
    *, saga_id: str, position: int | None, name: str | None, by: str | None, reason: str | None
) -> None:
    """Reject what a saga asks for at POSITION: see `saga approve`."""
    _answer(saga_id, position, name, by, reason, approved=False)


def _answer(
    saga_id: str,
    position: int | None,
    name: str | None,
    by: str | None,
    reason: str | None,
    *,
    approved: bool,
) -> None:
    who = actor(by)
    with reading() as connection:
        found = find_saga(connection, saga_id)
    with client() as talking:
        answer = talking.approve if approved else talking.reject
        position = answer(found, name, position=position, by=who, reason=reason)
    value = {
        "id": found,
        "position": position,
        "name": name,
        "approved": approved,
        "by": who,
        "reason": reason,
    }
    settings().output.say(value, f"{'approved' if approved else 'rejected'} by {who}")
