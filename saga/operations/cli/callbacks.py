"""`saga callbacks`."""

import contextlib
from collections.abc import Sequence
from uuid import UUID

import click
from rich.console import Console
from rich.text import Text

from saga.client.connections import Connections
from saga.client.units import clock, counted
from saga.errors import SagaNotFound
from saga.models.delivery import DELIVERY_STATES
from saga.operations.cli.clients import reading
from saga.operations.cli.group import ListingGroup, SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import actor, by, cursor, limit
from saga.operations.cli.settings import settings
from saga.storage import deliveries
from saga.storage.queries import (
    CallbackFilter,
    CallbackRow,
    Cursor,
    Page,
    callbacks,
    find_saga,
)
from saga.storage.queries.callbacks import UNDELIVERED
from saga.storage.starts import Executor

_COLOURS = {"due": "cyan", "delivered": "green", "given_up": "red"}


@click.group("callbacks", cls=ListingGroup)
def command() -> None:
    """List callbacks (what is left out is `list`), and make one again."""


@command.command("list", cls=SagaCommand)
@click.argument("saga_id", metavar="[ID]", required=False)
@click.option(
    "--state",
    "states",
    type=click.Choice(DELIVERY_STATES),
    multiple=True,
    help="Repeatable; by default those that were not delivered, of one saga all.",
)
@limit
@cursor
def list_(saga_id: str | None, states: tuple[str, ...], limit: int, cursor: str | None) -> None:
    """List callbacks, newest first, or all of the saga ID.

    \b
    due        to be made, or made again after an error
    delivered  the receiver took it
    given_up   tried for about a day, or refused for good: see `saga callbacks retry`
    """  # noqa: D301 - click's mark for a paragraph that is not wrapped
    after = Cursor.parse(cursor) if cursor else None
    with reading() as connection:
        found = find_saga(connection, saga_id) if saga_id else None
        wanted = CallbackFilter(found, states or (() if found else UNDELIVERED))
        page = callbacks(connection, wanted, limit=limit, after=after)
    value = {"callbacks": page.rows, "next": str(page.next) if page.next else None}
    settings().output.emit(value, lambda screen: _render(screen, page))


@command.command("retry", cls=SagaCommand)
@click.argument("callback_ids", metavar="CALLBACK...", type=click.UUID, nargs=-1, required=True)
@by
def retry(callback_ids: tuple[UUID, ...], by: str | None) -> None:
    """Make callbacks once more, with the same id, whatever came of them before: all or none."""
    who = actor(by)
    with contextlib.closing(Connections(settings().database_url, "saga callbacks")) as connections:
        connections.call(lambda run: _again(run, callback_ids, who), atomic=True)
    value = {"retried": callback_ids, "by": who}
    what = "it is" if len(callback_ids) == 1 else f"{counted(len(callback_ids), 'callback')} are"
    settings().output.say(value, f"{what} made again: see `saga callbacks`")


def _again(run: Executor, callback_ids: Sequence[UUID], by: str) -> None:
    for each in callback_ids:
        if not deliveries.again(run, None, each, by):
            raise SagaNotFound(f"there is no callback {each}: see `saga callbacks`")


def _render(screen: Console, page: Page[CallbackRow]) -> None:
    if not page.rows:
        screen.print("No callbacks.")
        return
    show_table(
        screen,
        ["ID", "SAGA", "", "STATE", "ATTEMPTS", "PLANNED", "NEXT", "URL", "LAST ERROR"],
        [
            [
                str(row.id),
                str(row.saga_id),
                f"{row.saga_name} {row.status}",
                Text(row.state, _COLOURS[row.state]),
                str(row.attempts),
                clock(row.created_at),
                clock(row.due_at) if row.due_at else "",
                row.url,
                "" if row.state == "delivered" else row.error or "",
            ]
            for row in page.rows
        ],
        right="ATTEMPTS",
    )
    if page.next:
        screen.print(f"More: --cursor {page.next}", markup=False)
