"""Which sagas a command acts on: those named by id or key, or those of a filter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import click
from rich.console import Console
from rich.text import Text
from sqlalchemy import Connection

from saga.client.units import counted
from saga.client.why import error_text
from saga.core.saga_filter import SagaFilter
from saga.operations.bulk import BulkResult, Refusal, Target, on_each, sagas_of
from saga.operations.cli.clients import reading
from saga.operations.cli.ends import Ends, NotOver
from saga.operations.cli.failures import FAILED, NOT_OVER
from saga.operations.cli.filters import filtering
from saga.operations.cli.output import show_table
from saga.operations.cli.safe import compact, safe
from saga.operations.cli.settings import settings
from saga.operations.cli.styles import status_text
from saga.storage.queries import find_saga

F = TypeVar("F", bound=Callable[..., Any])

_DETAILS = 80
_OPTIONS = (
    click.option(
        "--limit", type=click.IntRange(1), metavar="N", help="So many at most: try a few first."
    ),
    click.option("--all", "everything", is_flag=True, help="All that the filter names."),
    click.option("--keep-going", is_flag=True, help="Do not stop at the first that is refused."),
    click.option("--dry-run", is_flag=True, help="Only show what it would be done to."),
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What the options said. `words`: the command's arguments."""

    words: Sequence[str]
    wanted: SagaFilter
    limit: int | None
    everything: bool
    keep_going: bool
    dry_run: bool

    @property
    def filtered(self) -> bool:
        """Whether a filter says which."""
        return not self.wanted.is_empty

    @property
    def one(self) -> bool:
        """One saga, by its id or key: then errors are the command's own."""
        return len(self.words) == 1 and not self.filtered

    def sagas(self, *statuses: str) -> list[Target]:
        """Those named, or those of the filter, which has `statuses` unless it says which.

        Raises UsageError for what is no selection, SagaNotFound, InvalidInput.
        """
        self.check(self.words)
        with reading() as connection:
            if not self.filtered:
                return [Target(find_saga(connection, text)) for text in self.words]
            return list(sagas_of(connection, self.wanted.of(statuses), self.limit))

    def places(self, find: Callable[[Connection, int | None], Any]) -> list[Target]:
        """What a filter finds below sagas. Raises UsageError, InvalidInput."""
        self.check(())
        with reading() as connection:
            return list(find(connection, self.limit))

    def check(self, named: Sequence[str]) -> None:
        """Raises UsageError unless either sagas are named, or a filter and how many."""
        if bool(named) == self.filtered:
            raise click.UsageError(
                "name sagas by their ids or keys, or by a filter: --name, --status, --step, "
                "--error, --since and others"
            )
        if self.filtered and not self.dry_run and self.everything == (self.limit is not None):
            raise click.UsageError("with a filter, --limit N to try a few first, or --all")

    def act(
        self,
        found: Sequence[Target],
        act: Callable[[Target], object],
        done: str,
        ends: Ends | None = None,
    ) -> int:
        """Acts on each, says what came of it, and returns the exit code. `done`: what is said of
        those whose end is not awaited. A dry run only shows them.
        """
        if self.dry_run:
            settings().output.emit({"would": found}, lambda screen: show_targets(screen, found))
            return 0
        if self.one:
            act(found[0])
            result = BulkResult(done=list(found))
            text = "\n".join(_ended(result, ends)) or done
        else:
            result = on_each(found, act, keep_going=self.keep_going)
            text = _told(result, done, ends)
        settings().output.say(_shown(result, ends), text)
        return _code(result)


def selecting(name: str = "--name", metavar: str = "[ID]...") -> Callable[[F], F]:
    """Gives a command the options, which it takes as keyword arguments for `Selection`."""

    def decorate(command: F) -> F:
        found = filtering(name)(command)
        for option in reversed(_OPTIONS):
            found = option(found)
        return click.argument("words", metavar=metavar, nargs=-1)(found)

    return decorate


def show_targets(screen: Console, found: Sequence[Target]) -> None:
    """As a table."""
    if not found:
        screen.print("nothing fits the filter")
        return
    rows: list[list[str | Text]] = [
        [
            str(one.id),
            one.name or "",
            one.key or "",
            status_text(one.status) if one.status else "",
            _place(one),
            _details(one),
        ]
        for one in found
    ]
    show_table(screen, ["ID", "SAGA", "KEY", "STATUS", "AT", "ABOUT"], rows)
    screen.print(f"{counted(len(found), 'action')}; nothing was done.")


def _place(one: Target) -> str:
    if one.position is None:
        return ""
    return f"{'undo of ' if one.undo else ''}{one.position} {one.what}"


def _details(one: Target) -> str:
    if one.details is None:
        return ""
    is_error = isinstance(one.details, dict) and "type" in one.details
    return safe(error_text(one.details), _DETAILS) if is_error else compact(one.details, _DETAILS)


def _shown(result: BulkResult, ends: Ends | None) -> dict[str, Any]:
    value = {
        "done": [_named(one) for one in result.done],
        "refused": [_refusal(one) for one in result.refused],
        "stopped": result.stopped,
    }
    return {**value, "statuses": ends.statuses} if ends and ends.are_awaited else value


def _named(one: Target) -> UUID | dict[str, Any]:
    if one.position is None:
        return one.id
    return {"id": one.id, "position": one.position, "undo": one.undo}


def _refusal(one: Refusal) -> dict[str, Any]:
    found = {"id": one.id, "type": one.type, "message": one.message}
    return found if one.position is None else {**found, "position": one.position}


def _code(result: BulkResult) -> int:
    types = {refusal.type for refusal in result.refused}
    if not types:
        return 0
    return NOT_OVER if types == {NotOver.__name__} else FAILED


def _ended(result: BulkResult, ends: Ends | None) -> list[str]:
    if ends is None:
        return []
    statuses = ends.statuses
    return [f"saga {one.id} is {statuses[one.id]}" for one in result.done if one.id in statuses]


def _told(result: BulkResult, done: str, ends: Ends | None) -> str:
    if not result.done and not result.refused:
        return "nothing fits the filter"
    lines = _ended(result, ends)
    if ends is None or not ends.are_awaited:
        what = "saga" if all(one.position is None for one in result.done) else "place"
        lines = [f"{counted(len(result.done), what)}: {done}"]
    lines += [f"refused: {safe(refusal.message)}" for refusal in result.refused]
    if result.stopped:
        lines.append("stopped there; the others were left alone")
    return "\n".join(lines)
