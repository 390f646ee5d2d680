"""`saga cancel`."""

from typing import Any

import click

from saga.core.states import FORWARD
from saga.operations.bulk import Target
from saga.operations.cli.clients import client
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.params import actor, by
from saga.operations.cli.selection import Selection, selecting


@click.command("cancel", cls=SagaCommand)
@selecting()
@by
@click.option("--reason", help="Why, for the records.")
def command(*, by: str | None, reason: str | None, **selected: Any) -> int:
    """Stop sagas and undo what they did.

    A filter that names no status is of those that run or are parked.
    """
    selection = Selection(**selected)
    found = selection.sagas(*FORWARD)
    with client() as talking:
        operator = talking.operator(actor(by))

        def act(one: Target) -> None:
            operator.cancel(one.id, reason=reason)

        return selection.act(found, act, "stopped; what it did is being undone: see `saga show`")
