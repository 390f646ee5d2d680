"""Journals that were written in one process, replayed in another.

`python -m tests.core.elsewhere < journals` prints, as JSON, what does not fit: by the journal's
number, the reason. It needs only the core and anyio, which any Python of the machine can have.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.core import golden
from tests.core.corpus import STORIES
from tests.core.programs import interpreted


def misfits(journals: list[dict[str, Any]]) -> dict[str, str]:
    """Those that this process cannot replay, or whose code asks for something else here."""
    sagas = {story.saga.name: story.saga for story in STORIES.values()}
    sagas[interpreted.name] = interpreted
    found: dict[str, str] = {}
    for number, journal in enumerate(journals):
        try:
            golden.check_replays(sagas[journal["saga"]], journal)
            golden.check_asks(sagas[journal["saga"]], journal)
        except Exception as exc:
            found[str(number)] = f"{type(exc).__name__}: {exc}"
    return found


if __name__ == "__main__":
    json.dump(misfits(json.load(sys.stdin)), sys.stdout)
