"""Systems to break."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from saga.operations.embedded import EmbeddedStack
from tests.faults.arena import Arena
from tests.faults.ledger import Ledger, serving
from tests.faults.nursery import Nursery
from tests.faults.nursery import nursery as opened


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An outside world of the test's own."""
    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where workers come from."""
    with opened() as running:
        yield running


@pytest.fixture
def arena(
    database_url: str, broker_url: str, ledger: Ledger, nursery: Nursery, tmp_path: Path
) -> Iterator[Arena]:
    """A system on shared servers, whose workers and messages may be broken. Checked afterwards."""
    yield from _checked(Arena(database_url, broker_url, ledger, tmp_path, nursery))


@pytest.fixture
def own_arena(
    own_stack: EmbeddedStack, ledger: Ledger, nursery: Nursery, tmp_path: Path
) -> Iterator[Arena]:
    """A system on servers of its own (`own_stack`), which may be broken too."""
    urls = own_stack.database_url, own_stack.broker_url
    yield from _checked(Arena(*urls, ledger, tmp_path, nursery))


def _checked(arena: Arena) -> Iterator[Arena]:
    try:
        yield arena
        arena.check()
    finally:
        arena.close()
