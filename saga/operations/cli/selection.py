"""Which sagas a command acts on: those named by id, or those of a filter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import click

from saga.operations.bulk import BulkResult, matching, on_each
from saga.operations.cli.clients import reading
from saga.operations.cli.ends import Ends, NotOver
from saga.operations.cli.failures import FAILED, NOT_OVER
from saga.operations.cli.params import SINCE, STATUS
from saga.operations.cli.settings import settings
from saga.operations.units import counted
from saga.storage.queries import SagaFilter, find_saga

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("saga_ids", metavar="[ID]...", nargs=-1),
    click.option("--name", help="Of all sagas of this name."),
    click.option("--status", "statuses", type=STATUS, multiple=True, help="Repeatable."),
    click.option("--since", type=SINCE, metavar="WHEN", help="Started since: 2h, 1d, or a time."),
    click.option("--version", type=click.IntRange(min=1)),
    click.option(
        "--limit", type=click.IntRange(1), metavar="N", help="So many at most: try a few first."
    ),
    click.option("--all", "everything", is_flag=True, help="All that the filter names."),
    click.option("--keep-going", is_flag=True, help="Do not stop at the first that is refused."),
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What the options said."""

    saga_ids: Sequence[str]
    name: str | None
    statuses: Sequence[str]
    since: datetime | timedelta | None
    version: int | None
    limit: int | None
    everything: bool
    keep_going: bool

    @property
    def one(self) -> bool:
        """One saga, by its id: then errors are the command's own."""
        return len(self.saga_ids) == 1

    def find(self, default_status: str) -> list[UUID]:
        """The ids. Raises UsageError for what is no selection, SagaNotFound, InvalidInput."""
        filtered = bool(self.name or self.statuses or self.since or self.version)
        if bool(self.saga_ids) == filtered:
            raise click.UsageError(
                "name sagas by their ids, or by a filter: --name, --status, --since, --version"
            )
        if self.everything == (self.limit is not None) and filtered:
            raise click.UsageError("with a filter, --limit N to try a few first, or --all")
        with reading() as connection:
            if self.saga_ids:
                return [find_saga(connection, text) for text in self.saga_ids]
            statuses = self.statuses or (default_status,)
            wanted = SagaFilter(self.name, statuses, self.since, self.version)
            return list(matching(connection, wanted, self.limit))

    def act(self, found: Sequence[UUID], act: Callable[[UUID], None], done: str, ends: Ends) -> int:
        """Acts on each, says what came of it, and returns the exit code. `done`: what is said of
        those whose end is not awaited.
        """
        if self.one:
            act(found[0])
            result = BulkResult(done=list(found))
            text = "\n".join(_ended(result, ends)) or done
        else:
            result = on_each(found, act, keep_going=self.keep_going)
            text = _told(result, done, ends)
        settings().output.say(_shown(result, ends), text)
        return _code(result)


def selecting(command: F) -> F:
    """Gives a command the options, which it takes as keyword arguments for `Selection`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _shown(result: BulkResult, ends: Ends) -> dict[str, Any]:
    value = {"done": result.done, "refused": result.refused, "stopped": result.stopped}
    return {**value, "statuses": ends.statuses} if ends.are_awaited else value


def _code(result: BulkResult) -> int:
    types = {refusal.type for refusal in result.refused}
    if not types:
        return 0
    return NOT_OVER if types == {NotOver.__name__} else FAILED


def _ended(result: BulkResult, ends: Ends) -> list[str]:
    return [f"saga {one} is {ends.statuses[one]}" for one in result.done if one in ends.statuses]


def _told(result: BulkResult, done: str, ends: Ends) -> str:
    if not result.done and not result.refused:
        return "no saga fits the filter"
    lines = _ended(result, ends)
    if not ends.are_awaited:
        lines = [f"{counted(len(result.done), 'saga')}: {done}"]
    lines += [f"refused: {refusal.message}" for refusal in result.refused]
    if result.stopped:
        lines.append("stopped there; the others were left alone")
    return "\n".join(lines)
