"""Tests of the pure core define steps and sagas of their own, and leave none behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from saga.core.declare.registry import registry


@pytest.fixture(autouse=True)
def _empty_registry() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    with registry.sandbox():
        yield
