"""Journals of released versions, kept as files: whatever changes, they must replay as they did.

`python -m tests.core.golden 0.1` writes those of a release; written ones are never changed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saga.core.loop.events import Event, Recorded
from saga.core.replay import Failed, Finished, Verdict
from tests.core.corpus import STORIES
from tests.core.world import World

FOLDER = Path(__file__).parent / "golden"


def written(name: str) -> dict[str, Any]:
    """The journal of a story as it happens today."""
    story = STORIES[name]
    with World(story.saga, *story.args) as world:
        story.tell(world)
        return {
            "saga": story.saga.name,
            "version": story.saga.version,
            "input": world.input,
            "asks": [asdict(row.ask) for row in world.rows.values()],
            "events": [asdict(event) for event in world.events],
            "recorded": [
                [asdict(item) for item in world.recorded(after)]
                for after in range(len(world.events) + 1)
            ],
            "seen": [[told(seen.verdict), seen.exposed] for seen in world.seen],
        }


def told(verdict: Verdict) -> list[str]:
    """A verdict as JSON."""
    match verdict:
        case Finished(result):
            return ["finished", result]
        case Failed(error):
            return ["failed", error]
        case _:
            return ["waiting"]


def events_of(journal: dict[str, Any]) -> list[Event]:
    return [Event(**event) for event in journal["events"]]


def recorded_of(journal: dict[str, Any], after: int) -> list[Recorded]:
    return [Recorded(**item) for item in journal["recorded"][after]]


def main(release: str) -> None:
    folder = FOLDER / release
    folder.mkdir(parents=True)
    for name in STORIES:
        text = json.dumps(written(name), indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
