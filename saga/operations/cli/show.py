"""`saga show`."""

import click

from saga.operations.cli.clients import reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.params import saga_id
from saga.operations.cli.settings import settings
from saga.operations.cli.timeline import render
from saga.operations.next_commands import next_commands
from saga.operations.why import verdict
from saga.storage.queries import detail, find_saga


@click.command("show", cls=SagaCommand)
@saga_id
@click.option("--payloads", is_flag=True, help="Arguments and results of each step, too.")
def command(saga_id: str, payloads: bool) -> None:
    """Show one saga: its steps as a timeline, undos in their place, and where it stands."""
    with reading() as connection:
        found = detail(connection, find_saga(connection, saga_id))
    lines = verdict(found)
    value = {"verdict": "\n".join(lines), "saga": found, "commands": next_commands(found)}
    settings().output.emit(value, lambda screen: render(screen, found, lines, payloads=payloads))
