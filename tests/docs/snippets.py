"""The fenced blocks of a document, to be run in order.

The word after three backticks is the language. `python`, `sh` and `sql` blocks are run; one with a
`title="NAME"` is written down instead. A block `output` is what the one before it prints, where
`...` stands for anything. What else is to be said of a block stands in a comment on the line before
it, as a site knows no such words: with `service` it runs until the end, with `until="TEXT"` it is
run again until it prints that, and one that is `stopped` is run after the services have ended.
What an `sh` block defines is there in those that follow.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"^(?:<!-- ([^\n]*) -->\n)?```(\S+)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


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
        said, language, more, body = match.groups(default="")
        words = [word.partition("=") for word in f"{said} {more}".split()]
        options = {name: value.strip('"') for name, _, value in words}
        yield Snippet(language, options, body, text.count("\n", 0, match.start()) + 1)


def matches(promised: str, printed: str) -> bool:
    """Whether this was printed, with anything where `...` is."""
    pattern = ".*?".join(map(re.escape, promised.strip().split("...")))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
