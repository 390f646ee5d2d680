"""`saga signal`."""

from dataclasses import replace
from typing import Any

import click

from saga.core.states import FORWARD
from saga.operations.bulk import Target
from saga.operations.cli.clients import client
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.params import JSON, actor, by
from saga.operations.cli.selection import Selection, selecting
from saga.operations.cli.settings import settings


@click.command("signal", cls=SagaCommand)
@selecting(metavar="[ID]... NAME")
@click.option("--payload", type=JSON, default="null", metavar="JSON", help="JSON, @file or -.")
@click.option("--dedup-id", metavar="TEXT", help="A signal with the same one counts once a saga.")
@by
def command(*, payload: Any, dedup_id: str | None, by: str | None, **selected: Any) -> int:
    """Send the signal NAME to sagas.

    A filter that names no status is of those that run or are parked.
    """
    selection = Selection(**selected)
    if not selection.words:
        raise click.UsageError("Missing argument 'NAME'")
    *named, name = selection.words
    selection = replace(selection, words=named)
    found = selection.sagas(*FORWARD)
    sender = actor(by)
    with client() as talking:
        new: list[bool] = []

        def act(one: Target) -> None:
            new.append(talking.signal(one.id, name, payload, dedup_id=dedup_id, sender=sender))

        if not selection.one or selection.dry_run:
            return selection.act(found, act, "sent")
        act(found[0])
    text = "sent" if new[0] else f"nothing was sent: a signal {dedup_id!r} is there already"
    settings().output.say({"id": found[0].id, "signal": name, "new": new[0]}, text)
    return 0
