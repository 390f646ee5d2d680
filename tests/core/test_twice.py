"""What breaks determinism is found by running the code again, and named with its line."""

# ruff: noqa: PLW0108 - a line of its own for each call

from __future__ import annotations

import asyncio
import itertools
import os
import random as random_module
import secrets
import time
import uuid as uuid_module
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from saga.core.declare.decorators import saga, step
from saga.core.declare.registry import registry
from saga.core.twice import CheckedRun
from saga.core.verbs import expose, now, random, uuid
from saga.errors import Divergence
from tests.core.corpus import STORIES
from tests.core.world import SAGA_ID, START, World

HERE = Path(__file__)
_counter = itertools.count()

with registry.sandbox():

    @step
    def work(what: str) -> str:
        raise NotImplementedError


VARYING: dict[str, tuple[Callable[[], Any], str, str]] = {
    "time": (lambda: time.time_ns(), "time.time_ns()", "now()"),
    "perf_counter": (lambda: time.perf_counter(), "time.perf_counter()", "now()"),
    "datetime": (lambda: datetime.now(UTC), "datetime.now()", "now()"),
    "random": (lambda: random_module.random(), "random.random()", "random()"),
    "randint": (lambda: random_module.randint(1, 10**12), "random.randint()", "random()"),
    "choice": (lambda: random_module.sample(range(10**9), 3), "random.sample()", "random()"),
    "uuid4": (lambda: uuid_module.uuid4(), "uuid.uuid4()", "uuid()"),
    "uuid1": (lambda: uuid_module.uuid1(), "uuid.uuid1()", "uuid()"),
    "urandom": (lambda: os.urandom(8).hex(), "os.urandom()", "random()"),
    "secrets": (lambda: secrets.token_hex(), "secrets.token_hex()", "random()"),
}


@pytest.mark.parametrize("name", VARYING)
def test_what_varies_is_named_with_its_line_and_the_right_verb(name: str) -> None:
    vary, call, verb = VARYING[name]

    @saga
    async def body() -> None:
        await work("first")
        value = vary()
        await work(str(value))

    with pytest.raises(Divergence) as raised, World(body, kind=CheckedRun) as world:
        world.succeed(1, "")
    line = body.function.__code__.co_firstlineno
    told = raised.value.diff
    assert f"position 2, {HERE}:{line + 4}" in told
    assert "first  step work" in told
    assert f"{call} at {HERE}:{vary.__code__.co_firstlineno} gives something else" in told
    assert told.endswith(f"use {verb}")


def test_a_global_that_changes() -> None:
    @saga
    async def body() -> None:
        await work(str(next(_counter)))

    with pytest.raises(Divergence, match="does it use a global"):
        World(body, kind=CheckedRun)


def test_another_number_of_asks_another_end_and_what_is_exposed() -> None:
    @saga
    async def asks() -> None:
        if next(_counter) % 2:
            await work("sometimes")
        await asyncio.Event().wait()

    @saga
    async def ends() -> int:
        return time.time_ns()

    @saga
    async def exposes() -> None:
        expose(time.time_ns())
        await work("x")

    next(_counter) if next(_counter) % 2 else None
    for body, told in ((asks, "position 1"), (ends, "its end"), (exposes, "what it exposes")):
        with pytest.raises(Divergence, match=told):
            World(body, kind=CheckedRun)


def test_the_verbs_of_a_saga_and_what_makes_no_difference_are_right() -> None:
    @saga
    async def body() -> str:
        began = time.monotonic()
        await work(f"{now()} {uuid()} {random().random()}")
        assert time.monotonic() >= began
        return str(uuid())

    with World(body, kind=CheckedRun) as world:
        world.succeed(1, "")
        assert world.result
        world.check_replays()


@pytest.mark.parametrize("name", STORIES)
def test_the_corpus_stands_the_check(name: str) -> None:
    story = STORIES[name]
    with World(story.saga, *story.args, kind=CheckedRun) as world:
        story.tell(world)
        assert not world.is_waiting
        world.check_replays()


def test_a_replay_from_a_history_is_checked_too() -> None:
    @saga
    async def body() -> None:
        await work("first")
        await work("second")

    with World(body) as world:
        world.succeed(1, "")
        run = CheckedRun(body, SAGA_ID, "{}", START, world.recorded(1))
        run.catch_up(world.events)
        assert run.decide().commands == ()
        run.close()
