"""The fenced blocks of a document, to be run in order.

The word after three backticks is the language. `python`, `sh` and `sql` blocks are run; with
`file=NAME` a block is written down instead, and with `service` it runs until the end. A block
`output` is what the one before it prints, where `...` stands for anything. With `until=TEXT` a
block is run again until it prints that. A block `stopped` is run after the services have ended.
What an `sh` block defines is there in those that follow.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\S+)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Snippet:
    """A block, and where it is."""

    language: str
    options: dict[str, str]
    text: str
    line: int
    output: str | None = None


def snippets(document: Path) -> list[Snippet]:
    """Those that are to be run or written down, each with the output that is promised."""
    found: list[Snippet] = []
    for block in _blocks(document.read_text()):
        if block.language == "output":
            last = found.pop()
            found.append(Snippet(last.language, last.options, last.text, last.line, block.text))
        elif block.language in ("python", "sh", "sql"):
            found.append(block)
    return found


def _blocks(text: str) -> Iterator[Snippet]:
    for match in _FENCE.finditer(text):
        words = [word.partition("=") for word in match[2].split()]
        options = {name: value for name, _, value in words}
        yield Snippet(match[1], options, match[3], text.count("\n", 0, match.start()) + 1)


def matches(promised: str, printed: str) -> bool:
    """Whether this was printed, with anything where `...` is."""
    pattern = ".*?".join(map(re.escape, promised.strip().split("...")))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
