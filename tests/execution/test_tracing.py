"""The switch of traces, and what a step sees of its own."""

import subprocess
import sys
import time
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import TracerProvider

from saga import InvalidInput
from saga.client.requests import current_traceparent
from saga.core.intent import Intent
from saga.core.rows import StepKey
from saga.core.traces import trace_root
from saga.engine.attempt.work import COMMITTED, Work
from saga.execution.spans import Spans
from saga.execution.tracing import is_wanted
from tests.live.processes import ROOT


@pytest.mark.parametrize(
    ("given", "variable", "wanted"),
    [
        (None, "", False),
        (None, "off", False),
        (None, "on", True),
        (None, "TRUE", True),
        (False, "on", False),
        (True, "off", True),
    ],
)
def test_the_argument_goes_before_the_variable(
    given: bool | None, variable: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGA_TRACES", variable)
    assert is_wanted(given) is wanted


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter.otlp"])
def test_what_is_missing_is_said_at_once(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert not is_wanted(None)
    with pytest.raises(InvalidInput, match=r"pip install 'saga-orchestrator\[otel\]'"):
        is_wanted(True)


def test_a_worker_without_the_extra_ends_with_that_line() -> None:
    without = "import sys; sys.modules['opentelemetry.sdk'] = None; "
    program = f"{without}from saga.operations.cli import main; main()"
    urls = ("--database-url", "postgresql://x", "--broker-url", "redis://x")
    command = (*urls, "--app", "tests.live.traced", "worker", "--traces")
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "pip install 'saga-orchestrator[otel]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_saga_that_a_step_starts_is_below_the_step() -> None:
    """And nothing is left of it in the thread afterwards."""
    spans = Spans(TracerProvider())
    work = Work(StepKey(uuid4(), 1, False), "order", Intent("step", "pay", "default"), 1, 0)
    assert current_traceparent() is None
    for _ in range(2):
        spans.started(work, time.time())
        traceparent = current_traceparent()
        spans.ended(work, COMMITTED, 0.1)
        assert current_traceparent() is None
        started_there = trace_root(uuid4(), traceparent)
        assert started_there.trace == trace_root(work.key.saga_id, None).trace
        assert started_there.parent not in (None, trace_root(work.key.saga_id, None).span)
