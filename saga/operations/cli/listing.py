"""`saga list`."""

import difflib
from datetime import datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from sqlalchemy import Connection

from saga.errors import UnknownSaga
from saga.operations.cli.clients import reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import ATTRIBUTE, SINCE, STATUS, cursor, limit
from saga.operations.cli.safe import safe
from saga.operations.cli.settings import settings
from saga.operations.cli.styles import status_text
from saga.operations.units import between, clock
from saga.storage.queries import Cursor, Page, SagaFilter, SagaRow, known_sagas, list_sagas


@click.command("list", cls=SagaCommand)
@click.option("--name", help="Only this saga.")
@click.option("--status", "statuses", type=STATUS, multiple=True, help="Repeatable.")
@click.option("--since", type=SINCE, metavar="WHEN", help="Started since: 30m, 2h, 1d, or a time.")
@click.option("--version", type=click.IntRange(min=1))
@click.option(
    "--attribute",
    "-a",
    "pairs",
    type=ATTRIBUTE,
    multiple=True,
    metavar="NAME=VALUE",
    help="Only sagas started with this attribute; repeatable.",
)
@limit
@cursor
def command(
    *,
    name: str | None,
    statuses: tuple[str, ...],
    since: datetime | timedelta | None,
    version: int | None,
    pairs: tuple[tuple[str, Any], ...],
    limit: int,
    cursor: str | None,
) -> None:
    """List sagas, newest first."""
    wanted = SagaFilter(name, statuses, since, version, dict(pairs))
    after = Cursor.parse(cursor) if cursor else None
    with reading() as connection:
        page = list_sagas(connection, wanted, limit=limit, after=after)
        if name and not page.rows:
            _check_name(connection, name)
    value = {"sagas": page.rows, "next": str(page.next) if page.next else None}
    settings().output.emit(value, lambda screen: _render(screen, page))


def _check_name(connection: Connection, name: str) -> None:
    """An empty list for a name that nobody knows is a misspelling."""
    known = {announced for announced, _ in known_sagas(connection)}
    if name not in known and difflib.get_close_matches(name, known):
        raise UnknownSaga(name, known)


def _render(screen: Console, page: Page[SagaRow]) -> None:
    if not page.rows:
        screen.print("No sagas.")
        return
    show_table(
        screen,
        ["ID", "SAGA", "STATUS", "STARTED", "TOOK", "NOW AT"],
        [
            [
                str(row.id),
                f"{row.name} v{row.version}",
                status_text(row.status),
                clock(row.created_at),
                between(row.created_at, row.ended_at) if row.ended_at else "",
                Text(_doing(row)),
            ]
            for row in page.rows
        ],
    )
    if page.next:
        screen.print(f"More: --cursor {page.next}", markup=False)


def _doing(row: SagaRow) -> str:
    shown = [f"{safe(name, 40)} ({state})" for name, state in row.doing[:3]]
    more = [f"and {len(row.doing) - 3} more"] if len(row.doing) > 3 else []
    note = [safe(row.note.splitlines()[0], 80)] if row.note else []
    return ", ".join(shown + more + note)
