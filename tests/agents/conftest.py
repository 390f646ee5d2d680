"""The systems of `tests.faults`, with workers for the agents of one framework after the other."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from saga.core.declare.registry import registry
from tests.agents.code import FRAMEWORKS
from tests.faults.conftest import arena, ledger, nursery

__all__ = ["arena", "framework", "ledger", "nursery"]


@pytest.fixture(params=list(FRAMEWORKS))
def framework(request: pytest.FixtureRequest) -> ModuleType:
    """A module with the saga `run`."""
    return FRAMEWORKS[request.param]


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """Each test defines what it wants."""
    with registry.sandbox():
        yield
