"""`saga signal`."""

from typing import Any

import click

from saga.operations.cli.clients import client, reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.params import JSON, actor, by, saga_id
from saga.operations.cli.settings import settings
from saga.storage.queries import find_saga


@click.command("signal", cls=SagaCommand)
@saga_id
@click.argument("name")
@click.option("--payload", type=JSON, default="null", metavar="JSON", help="JSON, @file or -.")
@click.option("--dedup-id", metavar="TEXT", help="A signal with the same one counts once.")
@by
def command(saga_id: str, name: str, payload: Any, dedup_id: str | None, by: str | None) -> None:
    """Send the signal NAME to a saga."""
    with reading() as connection:
        found = find_saga(connection, saga_id)
    with client() as talking:
        new = talking.signal(found, name, payload, dedup_id=dedup_id, sender=actor(by))
    text = "sent" if new else f"nothing was sent: a signal {dedup_id!r} is there already"
    settings().output.say({"id": found, "signal": name, "new": new}, text)
