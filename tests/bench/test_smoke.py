"""The benchmark runs, and does the work that it counts. Nothing here judges how fast."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench.sizes import QUICK
from bench.workloads import WORKLOADS

_ROOT = Path(__file__).parents[2]
_STEPS = 5
_ENDED = {
    "steps": QUICK.sagas,
    "queues": QUICK.sagas,
    "latency": QUICK.latency,
    "undo": QUICK.undo,
    "long": QUICK.long,
    "fanout": 5,
    "parked": QUICK.parked,
}


Numbers = dict[str, dict[str, dict[str, float]]]


@pytest.mark.slow
def test_the_benchmark_does_the_work_that_it_counts(tmp_path: Path) -> None:
    medians = _quick_run(tmp_path / "numbers.json")
    assert set(medians) == set(WORKLOADS)
    for workload, engines in medians.items():
        assert set(engines) == ({"ours"} if workload == "parked" else {"ours", "chain"})
    _all_came_to_an_end(medians)
    _nothing_was_lost_in_the_kill(medians["kill"]["ours"])


def _quick_run(output: Path) -> Numbers:
    command = [sys.executable, "-m", "bench", "--quick", "--repeat", "1", "--json", str(output)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "| steps | steps/s |" in done.stdout
    return json.loads(output.read_text())["medians"]


def _all_came_to_an_end(medians: Numbers) -> None:
    for workload, ended in _ENDED.items():
        for engine, numbers in medians[workload].items():
            # The last step of the chain's long workflow tells its end and leaves no mark.
            unmarked = (workload, engine) == ("long", "chain")
            assert numbers["ended"] == ended - unmarked, (workload, engine)
            assert all(math.isfinite(n) and n >= 0 for n in numbers.values()), (workload, engine)


def _nothing_was_lost_in_the_kill(ours: dict[str, float]) -> None:
    assert ours["missing"] == 0
    assert ours["ended"] == QUICK.kill
    # A body that had ended, but whose outcome was not committed when the worker died, runs again.
    assert ours["doubled"] <= 8
    assert ours["bodies"] == 2 * QUICK.kill * _STEPS
