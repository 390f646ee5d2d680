"""`saga workers`."""

from collections.abc import Sequence

import click
from rich.console import Console

from saga.client.units import clock, duration
from saga.operations.cli.clients import reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.settings import settings
from saga.storage.queries import WorkerRow, workers


@click.command("workers", cls=SagaCommand)
@click.option("--all", "ended", is_flag=True, help="Those that are gone, too.")
def command(ended: bool) -> None:
    """List the worker processes, what they serve and what they hold."""
    with reading() as connection:
        rows = workers(connection, ended=ended)
    settings().output.emit({"workers": rows}, lambda screen: _render(screen, rows))


def _render(screen: Console, rows: Sequence[WorkerRow]) -> None:
    if not rows:
        screen.print("No workers: start one with `saga --app MODULE worker`.", markup=False)
        return
    show_table(
        screen,
        ["ID", "WORKER", "QUEUES", "STEPS", "STARTED", "STATE"],
        [
            [
                str(row.id),
                row.name,
                ",".join(row.queues),
                str(row.steps),
                clock(row.started_at),
                _state(row),
            ]
            for row in rows
        ],
        right="ID STEPS",
    )


def _state(row: WorkerRow) -> str:
    if row.ended_at is not None:
        return f"ended {clock(row.ended_at)}: {row.ended_why or 'stopped'}"
    if row.lease_left < 0:
        return f"its lease ran out {duration(-row.lease_left)} ago"
    return "alive"
