"""`saga stats`."""

from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

from saga.core.saga_filter import SagaFilter
from saga.core.states import SagaStatus
from saga.operations.cli.clients import reading
from saga.operations.cli.filters import filtering
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import GROUPING
from saga.operations.cli.safe import safe
from saga.operations.cli.settings import settings
from saga.operations.cli.styles import status_text
from saga.storage.queries import Count, stats


@click.command("stats", cls=SagaCommand)
@click.option(
    "--by",
    type=GROUPING,
    default="status",
    show_default=True,
    metavar="WHAT,...",
    help="status, name, step, error, queue; several parted by commas.",
)
@filtering()
def command(*, by: Sequence[str], wanted: SagaFilter) -> None:
    """Count sagas: by status, or by what else there is.

    step is where it stands or failed, error its own or the one that this step ended with, queue
    that of the step. A saga at several steps counts for each of them.
    """
    with reading() as connection:
        rows = stats(connection, wanted, by)
    counts = [{**dict(zip(by, row.by, strict=True)), "count": row.count} for row in rows]
    settings().output.emit({"by": by, "counts": counts}, lambda screen: _render(screen, by, rows))


def _render(screen: Console, by: Sequence[str], rows: Sequence[Count]) -> None:
    if not rows:
        screen.print("No sagas.")
        return
    show_table(
        screen,
        ["SAGAS", *(group.upper() for group in by)],
        [
            [str(row.count), *(_cell(*pair) for pair in zip(by, row.by, strict=True))]
            for row in rows
        ],
        right="SAGAS",
    )


def _cell(group: str, value: str | None) -> str | Text:
    if value is None:
        return "-"
    return status_text(SagaStatus(value)) if group == "status" else safe(value)
