"""`saga show`."""

from typing import Any

import click
from rich.console import Console
from sqlalchemy import Connection

from saga.client.why import verdict
from saga.core.states import ENDED
from saga.operations.cli.clients import reading
from saga.operations.cli.following import follow, repeat
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.history import show_transition
from saga.operations.cli.params import saga_id
from saga.operations.cli.settings import settings
from saga.operations.cli.timeline import render, show_traceback
from saga.operations.next_commands import next_commands
from saga.storage.queries import detail, find_saga, history, tracebacks

_BATCH = 500


def _follow(text: str) -> None:
    seen = 0

    def look(connection: Connection) -> bool:
        nonlocal seen
        found = find_saga(connection, text)
        rows = history(connection, found, after=seen, limit=_BATCH)
        for row in rows:
            settings().output.emit(row, lambda screen, row=row: show_transition(screen, row))
        seen = rows[-1].seq if rows else seen
        return not rows and detail(connection, found).status in ENDED

    repeat(look)


@click.command("show", cls=SagaCommand)
@saga_id
@click.option("--traceback", is_flag=True, help="What its code and its children's has raised.")
@click.option("--payloads", is_flag=True, help="Arguments and results of each step, too.")
@follow
def command(*, saga_id: str, payloads: bool, traceback: bool, follow: bool) -> None:
    """Show one saga: its steps as a timeline, undos in their place, and where it stands.

    With --follow first each transition as it happens, until it has ended; the JSON of that is one
    object a line.
    """
    if follow:
        _follow(saga_id)
    with reading() as connection:
        found = detail(connection, find_saga(connection, saga_id))
        raised = tracebacks(connection, found.id) if traceback else ()
    lines = verdict(found)
    value: dict[str, Any] = {"verdict": "\n".join(lines), "saga": found}
    value["commands"] = next_commands(found)
    if traceback:
        value["tracebacks"] = raised

    def show(screen: Console) -> None:
        render(screen, found, lines, payloads=payloads)
        for row in raised:
            show_traceback(screen, row)

    settings().output.emit(value, show)
