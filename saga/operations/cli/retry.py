"""`saga retry`."""

from dataclasses import replace
from typing import Any

import click

from saga.operations.bulk import Target, to_retry
from saga.operations.cli.clients import client
from saga.operations.cli.ends import Ends, awaited
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.params import actor, by
from saga.operations.cli.selection import Selection, selecting


@click.command("retry", cls=SagaCommand)
@selecting()
@click.option("--reason", help="Why, for the records.")
@by
@awaited
def command(*, reason: str | None, by: str | None, wait_for: float | None, **selected: Any) -> int:
    """Let failed sagas go on from the step that failed, with a fresh budget of attempts; what waits
    for another attempt, or whose outcome is unknown, is tried now; a parked one decides anew.

    Their code decides, as it is now: mended, it gives the step other arguments. Where those would
    repeat what may have happened with the old ones, the saga is parked, and `saga show` has both.
    A filter that names no status is of those that failed; with --waits-for, of those on their way,
    as `--waits-for retry`. Children that failed are left out: they go on with their parent.
    """
    selection = Selection(**selected)
    if selection.filtered:
        selection = replace(selection, wanted=to_retry(selection.wanted))
    found = selection.sagas()
    with client() as talking:
        operator, ends = talking.operator(actor(by)), Ends(talking, wait_for)

        def act(one: Target) -> None:
            operator.retry(one.id, reason=reason)
            ends.wait(one.id, ("completed",))

        return selection.act(found, act, "what failed is tried again: see `saga show`", ends)
