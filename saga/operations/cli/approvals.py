"""`saga approvals`, `saga approve` and `saga reject`."""

from typing import Any

import click
from rich.console import Console

from saga.client.units import clock
from saga.core.saga_filter import SagaFilter
from saga.operations.bulk import Target, approvals_of
from saga.operations.cli.clients import client, reading
from saga.operations.cli.filters import filtering
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import actor, by, cursor, limit
from saga.operations.cli.safe import compact
from saga.operations.cli.selection import Selection, selecting
from saga.operations.cli.settings import settings
from saga.storage.queries import (
    Approval,
    ApprovalFilter,
    Cursor,
    Page,
    approvals,
    find_saga,
)

_DETAILS = 120

_name = click.option("--name", help="Only an approval of this name.")
_reason = click.option("--reason", help="Why, for the records.")
_LARGEST = 2**31 - 1  # Postgres' integer


@click.command("approvals", cls=SagaCommand)
@click.argument("saga_id", metavar="[ID]", required=False)
@_name
@filtering("--saga")
@limit
@cursor
def list_(
    *,
    saga_id: str | None,
    name: str | None,
    wanted: SagaFilter,
    limit: int,
    cursor: str | None,
) -> None:
    """List the open approvals (of one saga), longest waiting first."""
    after = Cursor.parse(cursor) if cursor else None
    with reading() as connection:
        found = find_saga(connection, saga_id) if saga_id else None
        asked = ApprovalFilter(name, found, sagas=wanted)
        page = approvals(connection, asked, limit=limit, after=after)
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
@selecting("--saga", "[ID] [POSITION]")
@_name
@by
@_reason
def approve(*, name: str | None, by: str | None, reason: str | None, **selected: Any) -> int:
    """Approve what a saga asks for at POSITION, or what all sagas of a filter ask for: see
    `saga approvals`.

    POSITION may be left out while the saga has asked only once (for an approval of that name). The
    same decision may be sent again.
    """
    return _answer(Selection(**selected), name, by, reason, approved=True)


@click.command("reject", cls=SagaCommand)
@selecting("--saga", "[ID] [POSITION]")
@_name
@by
@_reason
def reject(*, name: str | None, by: str | None, reason: str | None, **selected: Any) -> int:
    """Reject what a saga asks for at POSITION: see `saga approve`."""
    return _answer(Selection(**selected), name, by, reason, approved=False)


def _answer(
    selection: Selection, name: str | None, by: str | None, reason: str | None, *, approved: bool
) -> int:
    who = actor(by)
    one = _parsed(selection)
    if one is None:
        found = selection.places(
            lambda connection, most: approvals_of(connection, selection.wanted, name, most)
        )
    else:
        with reading() as connection:
            found = [Target(find_saga(connection, one[0]), position=one[1])]
    done = f"{'approved' if approved else 'rejected'} by {who}"
    with client() as talking:
        answer = talking.approve if approved else talking.reject

        def act(place: Target) -> int:
            return answer(place.id, name, position=place.position, by=who, reason=reason)

        if one is None or selection.dry_run:
            return selection.act(found, act, done)
        position = act(found[0])
    value = {
        "id": found[0].id,
        "position": position,
        "name": name,
        "approved": approved,
        "by": who,
        "reason": reason,
    }
    settings().output.say(value, done)
    return 0


def _parsed(selection: Selection) -> tuple[str, int | None] | None:
    """Saga and position; None: a filter says which. Raises UsageError."""
    words = selection.words
    selection.check(words)
    if not words:
        return None
    if len(words) == 1:
        return words[0], None
    if len(words) > 2 or not words[1].isdecimal() or not 1 <= int(words[1]) <= _LARGEST:
        raise click.UsageError("want ID POSITION; POSITION is a number from `saga approvals`")
    return words[0], int(words[1])
