"""`saga list`."""

import difflib
from uuid import UUID

import click
from rich.console import Console
from rich.text import Text
from sqlalchemy import Connection

from saga.client.units import between, clock
from saga.client.why import error_text
from saga.core.saga_filter import SagaFilter
from saga.errors import UnknownSaga
from saga.operations.cli.clients import reading
from saga.operations.cli.filters import filtering
from saga.operations.cli.following import follow, repeat
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import console, show_table
from saga.operations.cli.params import cursor, limit
from saga.operations.cli.safe import safe
from saga.operations.cli.settings import settings
from saga.operations.cli.styles import status_text
from saga.storage.queries import Cursor, Page, SagaRow, known_sagas, list_sagas

_KEY, _ERROR = 40, 100  # characters
_TITLES = ["ID", "SAGA", "KEY", "STATUS", "STARTED", "TOOK", "NOW AT", "ERROR"]


@click.command("list", cls=SagaCommand)
@filtering()
@limit
@cursor
@follow
def command(*, wanted: SagaFilter, limit: int, cursor: str | None, follow: bool) -> None:
    """List sagas, newest first. With --follow each of them again whenever it stands elsewhere."""
    if follow:
        _follow(wanted, limit)
        return
    after = Cursor.parse(cursor) if cursor else None
    with reading() as connection:
        page = list_sagas(connection, wanted, limit=limit, after=after)
        if wanted.name and not page.rows:
            _check_name(connection, wanted.name)
    value = {"sagas": page.rows, "next": str(page.next) if page.next else None}
    settings().output.emit(value, lambda screen: _render(screen, page))


def _follow(wanted: SagaFilter, limit: int) -> None:
    """The newest of them at first; then those that are new or that have moved, oldest first."""
    seen: dict[UUID, SagaRow] = {}

    def look(connection: Connection) -> bool:
        rows = list_sagas(connection, wanted, limit=limit).rows
        moved = [row for row in reversed(rows) if _moved(seen.get(row.id), row)]
        is_first = not seen
        seen.clear()
        seen.update((row.id, row) for row in rows)
        if settings().json:
            for row in moved:
                settings().output.emit(row, lambda _: None)
        elif moved:
            show_table(console(), _TITLES if is_first else [], [_cells(row) for row in moved])
        return False

    repeat(look)


def _moved(before: SagaRow | None, now: SagaRow) -> bool:
    return before is None or (before.status, before.doing) != (now.status, now.doing)


def _check_name(connection: Connection, name: str) -> None:
    """An empty list for a name that nobody knows is a misspelling."""
    known = {announced for announced, _ in known_sagas(connection)}
    if name not in known and difflib.get_close_matches(name, known):
        raise UnknownSaga(name, known)


def _render(screen: Console, page: Page[SagaRow]) -> None:
    if not page.rows:
        screen.print("No sagas.")
        return
    show_table(screen, _TITLES, [_cells(row) for row in page.rows])
    if page.next:
        screen.print(f"More: --cursor {page.next}", markup=False)


def _cells(row: SagaRow) -> list[str | Text]:
    return [
        str(row.id),
        f"{row.name} v{row.version}",
        safe(row.key or "", _KEY),
        status_text(row.status),
        clock(row.created_at),
        between(row.created_at, row.ended_at) if row.ended_at else "",
        Text(_doing(row)),
        safe(error_text(row.error).partition("\n")[0], _ERROR),
    ]


def _doing(row: SagaRow) -> str:
    shown = [f"{safe(name, 40)} ({state})" for name, state in row.doing[:3]]
    more = [f"and {len(row.doing) - 3} more"] if len(row.doing) > 3 else []
    note = [safe(row.note.splitlines()[0], 80)] if row.note else []
    return ", ".join(shown + more + note)
