"""The corpus: every saga in it replays at every prefix, in every batching, and as it once did."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.core import golden
from tests.core.corpus import STORIES
from tests.core.world import World

ENDS: dict[str, Any] = {
    "support_refunds": {"ticket": 7, "category": "money", "refunded": "done"},
    "support_nobody_decides": {"ticket": 7, "refunded": None, "late": True},
    "impatient": ["A", "b was late", "C"],
    "all_or_nothing_fails": "1 failed",
    "all_or_nothing_works": "done",
    "meter": 7,
    "first_come": ["r3", "r1", "r2"],
    "workers": {"j2": "r2", "j1": "r1", "j3": "r3", "j4": "r4"},
    "watchdog": "someone",
}
JOURNALS = sorted(golden.FOLDER.glob("*/*.json"))


def _told(name: str) -> World:
    story = STORIES[name]
    world = World(story.saga, *story.args)
    story.tell(world)
    return world


@pytest.mark.parametrize("name", STORIES)
def test_replays(name: str) -> None:
    with _told(name) as world:
        assert not world.is_waiting
        assert not [row for row in world.rows.values() if row.is_open]
        world.check_replays()


@pytest.mark.parametrize("name", STORIES)
def test_batches(name: str) -> None:
    with _told(name) as world:
        numbers = range(len(world.events) + 1)
        for size in (0, 1, 2):
            for cuts in itertools.combinations(numbers, size):
                world.check_batches(cuts)
        world.check_batches(numbers)


@pytest.mark.parametrize("name", ENDS)
def test_ends_as_expected(name: str) -> None:
    with _told(name) as world:
        assert world.result == ENDS[name]


def test_the_error_names_the_step() -> None:
    with _told("support_fails") as world:
        assert world.error == {
            "type": "HTTPError",
            "message": "500",
            "step": 3,
            "name": "create_ticket",
        }


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_journals_replay(path: Path) -> None:
    golden.check_replays(STORIES[path.stem].saga, json.loads(path.read_text()))


def test_each_story_has_a_golden_journal() -> None:
    assert {path.stem for path in JOURNALS} >= STORIES.keys()


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_journals_ask_for_the_same(path: Path) -> None:
    golden.check_asks(STORIES[path.stem].saga, json.loads(path.read_text()))
