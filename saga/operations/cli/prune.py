"""`saga prune`."""

import contextlib
import sys
from datetime import datetime, timedelta

import click

from saga.client.connections import Connections
from saga.client.units import counted, listed
from saga.core.states import ENDED
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.params import REASON, SINCE, actor, by, needed
from saga.operations.cli.settings import settings
from saga.operations.prune import Pruned, Pruning


@click.command("prune", cls=SagaCommand)
@click.option(
    "--ended-before",
    "before",
    type=SINCE,
    metavar="WHEN",
    required=True,
    help="How long ago at least, as 90d, or a time. At least 1h.",
)
@click.option(
    "--status",
    "statuses",
    type=click.Choice([status.value for status in ENDED]),
    multiple=True,
    help="Repeatable; by default all ends but partly_compensated.",
)
@click.option("--given-up", is_flag=True, help="Also sagas with callbacks that were given up.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="So many at most, oldest first.")
@click.option("--dry-run", is_flag=True, help="Say how many would go, and remove none.")
@click.option("--reason", help="Why, for the records. Needed unless it is a dry run.")
@by
def command(
    *,
    before: datetime | timedelta,
    statuses: tuple[str, ...],
    given_up: bool,
    limit: int | None,
    dry_run: bool,
    reason: str | None,
    by: str | None,
) -> None:
    """Remove sagas that ended long ago, with their children and histories, for good.

    Kept is what waits for a person, what has a callback that was not delivered, and what somebody
    holds at the moment. It may run beside workers and beside itself, and be stopped at any time.
    The audit trail stays, with one line for each run. A key of a removed saga may start another.
    """
    used = settings()
    why = "" if dry_run else needed("--reason", reason, REASON)
    pruning = Pruning(before, statuses, given_up=given_up, by=actor(by), reason=why)
    with contextlib.closing(Connections(used.database_url, "saga prune")) as connections:
        done = pruning.run(connections, limit, dry=dry_run, say=_progress)
    if _is_watched():
        click.echo(err=True)
    value = {
        "dry_run": dry_run,
        "pruned": done.roots,
        "rows": dict(done.rows),
        "kept": dict(done.kept),
    }
    used.output.say(value, _told(done, dry=dry_run))


def _is_watched() -> bool:
    return sys.stderr.isatty()


def _progress(done: Pruned) -> None:
    if _is_watched():
        click.echo(f"\r{done.roots:,} removed, {done.kept.total():,} kept", err=True, nl=False)


def _told(done: Pruned, *, dry: bool) -> str:
    children = done.rows["sagas"] - done.roots
    what = f"{counted(done.roots, 'saga')}"
    what += f" with {children} below them" if children else ""
    lines = [f"{what} would be removed" if dry else f"{what} removed{_rows(done)}"]
    lines += [f"kept: {number}, {reason}" for reason, number in sorted(done.kept.items())]
    return "\n".join(lines)


def _rows(done: Pruned) -> str:
    kinds = [f"{number} {kind}" for kind, number in done.rows.items() if kind != "sagas" and number]
    return f": {listed(kinds)}" if kinds else ""
