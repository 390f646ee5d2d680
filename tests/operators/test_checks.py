"""A worker warns, when it starts, of what is declared so that it will surprise."""

import os
import subprocess
import sys

import pytest

from tests.faults.records import Records
from tests.faults.waiting import PATIENCE, until
from tests.faults.workers import ROOT


@pytest.mark.parametrize(
    ("environment", "warns"),
    [({}, True), ({"SAGA_CHECKS": "off"}, False), ({"PYTHONWARNINGS": "ignore"}, False)],
    ids=["by default", "switched off", "filtered"],
)
def test_a_worker_warns_when_it_starts(
    database_url: str, broker_url: str, environment: dict[str, str], warns: bool
) -> None:
    records = Records(database_url)
    worker = subprocess.Popen(
        [sys.executable, "-m", "saga.operations.cli", "--app", "tests.operators.sagas", "worker"],
        cwd=ROOT,
        env={
            **os.environ,
            "SAGA_DATABASE_URL": database_url,
            "SAGA_BROKER_URL": broker_url,
            **environment,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(records.live_workers, "the worker is ready")
    finally:
        worker.terminate()
        _, said = worker.communicate(timeout=PATIENCE)
    assert ("DefinitionWarning: step tell" in said) is warns, said
    assert ("DefinitionWarning: saga decided_with_a_way_round" in said) is False, said
    assert "step look (" not in said
