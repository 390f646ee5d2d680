"""`saga cancel`."""

import click

from saga.operations.cli.clients import client, reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.params import actor, by, saga_id
from saga.operations.cli.settings import settings
from saga.storage.queries import find_saga


@click.command("cancel", cls=SagaCommand)
@saga_id
@by
@click.option("--reason", help="Why, for the records.")
def command(saga_id: str, by: str | None, reason: str | None) -> None:
    """Stop a saga and undo what it did."""
    who = actor(by)
    with reading() as connection:
        found = find_saga(connection, saga_id)
    with client() as talking:
        talking.cancel(found, by=who, reason=reason)
    value = {"id": found, "by": who, "reason": reason}
    settings().output.say(value, "stopped; what it did is being undone: see `saga show`")
