"""The demo's services, in this process, as the world that the step library talks to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from saga.operations.demo.services import Services, serving, settings


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Running services; the environment points the step library at them."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    with serving(tmp_path) as running:
        for name, value in settings(running.addresses).items():
            monkeypatch.setenv(name, value)
        yield running
