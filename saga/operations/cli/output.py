"""Results: JSON for machines, tables for people, plain when nobody looks."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, cast
from uuid import UUID

from rich.console import Console
from rich.text import Text

from saga.operations.cli.safe import safe, safe_lines

_WIDE = 10_000  # columns where there is no terminal: nothing is cut or wrapped
_LEAST = 20  # columns that the last one keeps in a terminal


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """Where a command's result goes."""

    as_json: bool

    def emit(self, value: Any, render: Callable[[Console], None]) -> None:
        """`value` as one line of JSON, or what `render` prints."""
        if self.as_json:
            sys.stdout.write(to_json(value) + "\n")
            sys.stdout.flush()
        else:
            render(console())

    def say(self, value: Mapping[str, Any], text: str) -> None:
        """A short confirmation, of one line or several."""
        self.emit(value, lambda screen: screen.print(Text("\n".join(safe_lines(text)))))


def console(*, stderr: bool = False) -> Console:
    """A screen for text that is safe already."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(file=stream, width=width, highlight=False, soft_wrap=width is not None)


def show_table(
    screen: Console, titles: Sequence[str], rows: Iterable[Sequence[str | Text]], right: str = ""
) -> None:
    """Print columns without a frame, as wide as they must be.

    The titles in `right`, parted by spaces, are aligned to the right. A row of one cell is a note
    on the row above. Without titles there are only rows. In a terminal the last column is cut to
    what fits.
    """
    texts = [[cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row] for row in rows]
    head = [Text(title, "bold") for title in titles]
    lines = [head, *texts] if head else texts
    full = [row for row in lines if len(row) > 1]
    widths = [max(cell.cell_len for cell in column) for column in zip(*full, strict=True)]
    to_right = [title in right.split() for title in titles] or [False] * len(widths)
    room = screen.width if screen.is_terminal else None
    for row in lines:
        line = _line(row, widths, to_right) if len(row) > 1 else Text("      ").append_text(row[0])
        line.rstrip()
        if room is not None and line.cell_len > room > sum(widths[:-1]) + 2 * len(widths) + _LEAST:
            line.truncate(room, overflow="ellipsis")
        screen.print(line)


def _line(row: Sequence[Text], widths: Sequence[int], to_right: Sequence[bool]) -> Text:
    line = Text()
    for cell, width, right in zip(row, widths, to_right, strict=True):
        padding = " " * (width - cell.cell_len)
        line.append(padding if right else "").append_text(cell)
        line.append("" if right else padding).append("  ")
    return line


def to_json(value: Any) -> str:
    """One line in ASCII: what others wrote cannot reach a terminal raw."""
    return json.dumps(plain(value), ensure_ascii=True)


def plain(value: Any) -> Any:
    """The value as JSON knows it: dataclasses as objects, times in UTC."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, UUID | date):
        return str(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): plain(item) for key, item in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in cast("Iterable[Any]", value)]
    return value
