"""What was written here is replayed in other processes: other hash seeds, other Pythons."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from saga.core.loop.python_order import ORDERS
from tests.core import golden, pythons
from tests.core.corpus import STORIES
from tests.core.programs import interpreted
from tests.core.random_programs import programs, something_happens
from tests.core.world import World

MOST_EVENTS = 60

# A program may end before it looks at what as_completed() gives.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")


@pytest.fixture(scope="module")
def journals() -> str:
    """The golden ones, those of the stories as they go today, and those of random programs."""
    written = [json.loads(path.read_text()) for path in golden.FOLDER.glob("*/*.json")]
    written += [golden.written(name) for name in STORIES]

    @settings(
        max_examples=150,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(program=programs, order=st.sampled_from(ORDERS), data=st.data())
    def write(program: Any, order: Any, data: st.DataObject) -> None:
        with World(interpreted, program, order=order) as world:
            while world.is_waiting and len(world.events) < MOST_EVENTS:
                something_happens(world, data)
            written.append(golden.journal_of(world))

    write()
    return json.dumps(written)


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what other Pythons need is kept from one run to the next."""
    cache = request.config.cache
    return cache.mkdir("pythons") if cache else tmp_path_factory.mktemp("pythons")


@pytest.mark.parametrize("seed", [1, 2])
def test_another_hash_seed(journals: str, seed: int) -> None:
    assert _misfits(journals, sys.executable, seed, None) == {}


@pytest.mark.parametrize("version", pythons.SUPPORTED)
def test_another_python(journals: str, version: str, folder: Path) -> None:
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        pytest.skip("it is the one that runs the tests")
    python = pythons.others().get(version)
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    try:
        packages = pythons.packages(version, folder)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no {pythons.NEEDED} for Python {version}: {error.stderr.strip()[-200:]}")
    assert _misfits(journals, python, 3, packages) == {}


def test_what_does_not_fit_is_found_elsewhere() -> None:
    journal = golden.written("support_refunds")
    journal["asks"][0]["args"] = '{"text":"another"}'
    swapped = golden.written("workers")
    swapped["events"][0], swapped["events"][1] = (
        {**swapped["events"][1], "number": 1},
        {**swapped["events"][0], "number": 2},
    )
    text = json.dumps([journal, swapped, golden.written("meter")])
    assert _misfits(text, sys.executable, 1, None).keys() == {"0", "1"}


def _misfits(journals: str, python: str, seed: int, packages: Path | None) -> dict[str, str]:
    told = pythons.run_module(
        python, "tests.core.elsewhere", journals, hash_seed=seed, path=packages
    )
    return json.loads(told)
