"""What a person sees: a live bar with counts while the demo runs, and a table at its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from saga.operations.demo.cases import Counts

EVERY = 5.0


class Display:
    """Progress on stderr: a live bar in a terminal, a line now and then elsewhere."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("support agent", total=1.0, counts="")
        self._total = total
        self._said_at = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, markup=False)

    def show(self, counts: Counts, share: float) -> None:
        """Where the sagas stand now, and the share of the expected effects that stands."""
        text = f"{counts.ended}/{self._total} ended · {describe(counts)}"
        self._bar.update(self._task, completed=min(share, 1.0), counts=text)
        if not self._console.is_terminal and time.monotonic() - self._said_at > EVERY:
            self._said_at = time.monotonic()
            self.say(f"{min(share, 1.0):4.0%} {text}")


def describe(counts: Counts) -> str:
    """The counts per state in words."""
    states = dict(counts.by_status)
    states["running"] = states.get("running", 0) - len(counts.waiting)
    states["awaiting approval"] = len(counts.waiting)
    return " · ".join(f"{count} {name}" for name, count in states.items() if count > 0)


def table(title: str, rows: Mapping[str, object], notes: Mapping[str, str]) -> None:
    """The result on stdout."""
    made = Table(title=title, show_header=False, title_justify="left")
    made.add_column(style="bold")
    made.add_column(justify="right")
    made.add_column(style="dim")
    for name, value in rows.items():
        made.add_row(name.replace("_", " "), str(value), notes.get(name, ""))
    Console().print(made)
