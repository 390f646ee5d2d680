"""A world that knows the shop's sagas only."""

from collections.abc import Iterator

import pytest

from saga.testing import World
from tests.faults.code import own_registry
from tests.testing import shop


@pytest.fixture(name="world")
def shop_world() -> Iterator[World]:
    with World(registry=own_registry(shop)) as world:
        yield world
