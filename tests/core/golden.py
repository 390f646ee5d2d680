"""Journals of released versions, kept as files: whatever changes, they must replay as they did.

`python -m tests.core.golden 0.1` writes those of a release; written ones are never changed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from saga.core.declare.definitions import SagaDefinition
from saga.core.loop.commands import Ask, Drop
from saga.core.loop.events import Event, Recorded
from saga.core.loop.python_order import ORDERS, Order
from saga.core.replay import Failed, Finished, Run, Verdict
from tests.core.corpus import STORIES
from tests.core.world import SAGA_ID, START, World

FOLDER = Path(__file__).parent / "golden"


def written(name: str) -> dict[str, Any]:
    """The journal of a story as it happens today."""
    story = STORIES[name]
    with World(story.saga, *story.args) as world:
        story.tell(world)
        return journal_of(world)


def journal_of(world: World) -> dict[str, Any]:
    """All that happened, and what the saga made of it at each point."""
    return {
        "saga": world.definition.name,
        "version": world.definition.version,
        "order": list(world.order),
        "input": world.input,
        "asks": [_flat(row.ask) for row in world.rows.values()],
        "events": [event._asdict() for event in world.events],
        "recorded": [
            [item._asdict() for item in world.recorded(after)]
            for after in range(len(world.events) + 1)
        ],
        "seen": [[told(seen.verdict), seen.exposed] for seen in world.seen],
    }


def check_replays(saga: SagaDefinition[..., Any], journal: dict[str, Any]) -> None:
    """Today's code makes of it at each point what was made of it then."""
    events = events_of(journal)
    for after, (verdict, exposed) in enumerate(journal["seen"]):
        recorded = recorded_of(journal, after)
        run = Run(saga, SAGA_ID, journal["input"], START, recorded, order_of(journal))
        run.catch_up(events[:after])
        decision = run.decide()
        run.close()
        assert all(isinstance(command, Drop) for command in decision.commands)
        assert [told(decision.verdict), decision.exposed] == [verdict, exposed]


def check_asks(saga: SagaDefinition[..., Any], journal: dict[str, Any]) -> None:
    """Today's code, given the same events, asks for the same in the same order."""
    run = Run(saga, SAGA_ID, journal["input"], START, order=order_of(journal))
    asked: list[dict[str, Any]] = []
    for events in [[], *([event] for event in events_of(journal))]:
        run.catch_up(events)
        asked += [_flat(c) for c in run.decide().commands if isinstance(c, Ask)]
    run.close()
    for now, then in zip(asked, journal["asks"], strict=True):
        assert now == now | then


def told(verdict: Verdict) -> list[str]:
    """A verdict as JSON."""
    match verdict:
        case Finished(result):
            return ["finished", result]
        case Failed(error):
            return ["failed", error]
        case _:
            return ["waiting"]


def _flat(ask: Ask) -> dict[str, Any]:
    own = {"position": ask.position, "undo": ask.undo, "due": ask.due, "after": ask.after}
    return own | ask.intent._asdict()


def order_of(journal: dict[str, Any]) -> Order:
    """The order of asyncio in which it was written; those of the stories have but one."""
    major, minor = journal.get("order", ORDERS[0])
    return major, minor


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
