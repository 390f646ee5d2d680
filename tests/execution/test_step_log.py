"""The log of steps."""

import json
import logging
from pathlib import Path

import pytest

from saga import Client
from saga.execution.step_log import FIELDS, JsonFormatter, is_read
from tests.live.processes import shop_worker, until


@pytest.mark.parametrize(("level", "there_is_one"), [("INFO", True), ("ERROR", False)])
def test_nobody_is_told_what_nobody_reads(
    level: str, there_is_one: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level, "saga")
    assert is_read() is there_is_one


def test_a_line_is_an_object() -> None:
    record = logging.LogRecord("saga.x", logging.INFO, "x.py", 1, "with\nlines %s", ("é",), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == "with\nlines é"


def test_a_worker_logs_outcomes_as_json(database_url: str, broker_url: str, tmp_path: Path) -> None:
    options = ("--log-format", "json", "--loglevel", "INFO")
    client = Client(database_url, broker_url)
    with shop_worker(database_url, broker_url, tmp_path / "log", *options) as worker:
        handle = client.start("order", item="a secret thing")
        handle.result(timeout=60)
        until(
            lambda: "saga order completed" in worker.output,
            "it is logged",
            describe=lambda: worker.output,
        )
    client.close()
    lines = [json.loads(line) for line in worker.output.splitlines() if line.startswith("{")]
    *steps, end = [line for line in lines if line["logger"] == "saga.outcome"]
    assert [(s["step"], s["position"], s["attempt"], s["outcome"]) for s in steps] == [
        ("reserve", 1, 1, "succeeded"),
        ("pay", 2, 1, "succeeded"),
    ]
    assert all(set(FIELDS) <= set(step) for step in steps)
    assert all(step["saga_id"] == str(handle.id) for step in steps)
    assert (end["saga"], end["outcome"], end["level"]) == ("order", "completed", "INFO")
    assert end["saga_id"] == str(handle.id)
    assert "a secret thing" not in worker.output
