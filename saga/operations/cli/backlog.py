"""`saga backlog`."""

from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

from saga.client.units import duration
from saga.operations.cli.clients import reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.settings import settings
from saga.storage.queries import Backlog, backlog


@click.command("backlog", cls=SagaCommand)
def command() -> None:
    """Show what waits for a worker, by queue, and how long the oldest has waited."""
    with reading() as connection:
        rows = backlog(connection)
    settings().output.emit({"queues": rows}, lambda screen: _render(screen, rows))


def _render(screen: Console, rows: Sequence[Backlog]) -> None:
    if not rows:
        screen.print("No work, and no workers.")
        return
    show_table(
        screen,
        ["QUEUE", "READY", "OLDEST", "RUNNING", "WORKERS"],
        [
            [
                row.queue,
                str(row.ready),
                "" if row.oldest is None else duration(row.oldest),
                str(row.running),
                str(row.workers)
                if row.workers or not row.ready
                else Text("0: nothing will move", "bold red"),
            ]
            for row in rows
        ],
        right="READY OLDEST RUNNING WORKERS",
    )
