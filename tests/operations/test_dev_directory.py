"""The folder of `saga dev` is ours alone."""

import os
import stat
from pathlib import Path

import pytest

from saga.operations.dev import DevError
from saga.operations.dev.directory import claim
from saga.operations.embedded import EmbeddedRedis
from saga.operations.embedded.account import for_postgres


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("exists", [True, False])
def test_nobody_else_may_look_into_it(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / ".saga"
    if exists:
        folder.mkdir(mode=0o755)
    with claim(folder):
        # As root, Postgres runs as somebody else, who has to come through to its own folder.
        assert mode(folder) == (0o700 if for_postgres(folder) is None else 0o711)


def test_that_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".saga"
    folder.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(DevError, match="belongs to somebody else"):
        claim(folder)
    assert not list(folder.iterdir()), "nothing was written into it"


def test_logs_are_ours_alone(tmp_path: Path) -> None:
    (tmp_path / "log").touch(mode=0o644)
    with EmbeddedRedis(tmp_path):
        assert mode(tmp_path / "log") == 0o600
