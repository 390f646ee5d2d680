"""`saga history`."""

from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

from saga.operations.cli.clients import reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import saga_id
from saga.operations.cli.safe import safe
from saga.operations.cli.settings import settings
from saga.storage.queries import Transition, find_saga, history


@click.command("history", cls=SagaCommand)
@saga_id
def command(saga_id: str) -> None:
    """Print every transition of a saga: who, when, from, to, attempt, why."""
    with reading() as connection:
        found = find_saga(connection, saga_id)
        rows = history(connection, found)
    settings().output.emit({"id": found, "history": rows}, lambda screen: _render(screen, rows))


def _render(screen: Console, rows: Sequence[Transition]) -> None:
    show_table(
        screen,
        ["SEQ", "AT", "WHAT", "FROM", "TO", "ATTEMPT", "WHO", "WHY"],
        [
            [
                str(row.seq),
                f"{row.at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
                _what(row),
                row.before or "",
                row.after,
                str(row.attempt or ""),
                row.actor or row.worker or "",
                row.reason or "",
            ]
            for row in rows
        ],
        right="SEQ ATTEMPT",
    )


def show_transition(screen: Console, row: Transition) -> None:
    """On a line of its own, as it happens."""
    who = row.actor or row.worker or ""
    moved = f"{row.before or ''} -> {row.after}".strip()
    words = [f"{row.at:%H:%M:%S.%f}"[:-3], _what(row), moved, who, row.reason or ""]
    screen.print(Text("  ".join(safe(word) for word in words if word)))


def _what(row: Transition) -> str:
    if row.position is None:
        return "saga"
    return f"{'undo ' if row.undo else ''}{row.position} {row.name or ''}"
