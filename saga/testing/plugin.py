"""The pytest plugin. It is in every run of pytest where this package is installed, so it imports
nothing until a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from saga.testing.stack import Stack
    from saga.testing.world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `saga_stack` has to know."""
    parser.addini("saga_app", "modules whose sagas the workers of saga_stack run", type="args")


@pytest.fixture(name="world")
def _world() -> Iterator[World]:
    """A new `saga.testing.World`: sagas run as in production, without servers."""
    from saga.testing.world import World

    with World() as world:
        yield world


@pytest.fixture(name="saga_stack", scope="session")
def _saga_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A `saga.testing.Stack` for the whole session: real Postgres, Redis and a worker for the
    modules that the setting `saga_app` names.
    """
    from saga.testing.stack import Stack

    with Stack(request.config.getini("saga_app")) as stack:
        yield stack
