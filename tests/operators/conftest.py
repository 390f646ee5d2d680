"""Systems with an operator."""

from collections.abc import Iterator

import pytest

from tests.faults.arena import Arena
from tests.faults.conftest import arena, ledger, nursery
from tests.operators.stage import Stage, staged

__all__ = ["arena", "ledger", "nursery", "stage"]


@pytest.fixture
def stage(arena: Arena) -> Iterator[Stage]:
    """The engine in this process, and Ann; all invariants are checked afterwards."""
    with staged(arena) as made:
        yield made
