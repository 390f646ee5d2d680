"""The log of steps."""

import json
import logging
import os
from pathlib import Path

import psycopg
import pytest

from saga import Client, SagaFailed
from saga.execution.step_log import FIELDS, JsonFormatter, is_read
from tests.live.processes import ROOT, shop_worker, until


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


def _appraised(database_url: str, broker_url: str, log: Path, *options: str, **more: str) -> str:
    """The log of a worker whose saga fails with KeyError, for a saga that was given a canary."""
    client = Client(database_url, broker_url)
    with shop_worker(database_url, broker_url, log, *options, **more) as worker:
        handle = client.start("appraisal", given={"c4n4ry": "c4n4ry"})
        with pytest.raises(SagaFailed):
            handle.result(timeout=60)
        until(
            lambda: "appraise failed" in worker.output,
            "it is logged",
            describe=lambda: worker.output,
        )
        client.close()
        return worker.output


def test_a_failure_is_logged_with_its_traceback(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    output = _appraised(database_url, broker_url, tmp_path / "log", "--log-format", "json")
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    retried, failed = [line for line in lines if line.get("step") == "appraise"][-2:]
    assert (retried["level"], retried["outcome"]) == ("WARNING", "retrying")
    assert "; KeyError at shop.py:" in retried["message"]
    assert "exception" not in retried
    assert (failed["level"], failed["outcome"]) == ("ERROR", "failed")
    assert 'return given["value"]' in failed["exception"]


def test_an_attempt_that_is_made_again_is_one_line(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    output = _appraised(database_url, broker_url, tmp_path / "log")
    lines = output.splitlines()
    retried = next(n for n, line in enumerate(lines) if "appraise retrying" in line)
    assert not lines[retried + 1].startswith("Traceback")
    failed = next(n for n, line in enumerate(lines) if "appraise failed" in line)
    assert lines[failed + 1].startswith("Traceback")


def test_private_errors_are_in_no_log(database_url: str, broker_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    output = _appraised(database_url, broker_url, log, SAGA_PRIVATE_ERRORS="on")
    assert "KeyError at shop.py:" in output
    assert "Traceback" not in output
    assert "'value'" not in output
    with psycopg.connect(database_url) as connection:
        ((error,),) = connection.execute("SELECT error FROM saga.saga").fetchall()
    assert error["message"] == "(kept private)"


_WITH_SENTRY = """
import json, os, sentry_sdk
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

class Kept(Transport):
    def capture_envelope(self, envelope):
        event = envelope.get_event()
        if event is not None:
            with open(os.environ["SENTRY_EVENTS"], "a") as file:
                file.write(json.dumps(event, default=str) + "\\n")

sentry_sdk.init(
    dsn="http://key@127.0.0.1:9/1", transport=Kept, integrations=[CeleryIntegration()]
)
from tests.live.shop import *
"""


def test_sentry_is_told_once(database_url: str, broker_url: str, tmp_path: Path) -> None:
    (tmp_path / "watched_shop.py").write_text(_WITH_SENTRY)
    events = tmp_path / "events"
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    _appraised(
        database_url,
        broker_url,
        tmp_path / "log",
        app="watched_shop",
        PYTHONPATH=path,
        SENTRY_EVENTS=str(events),
    )
    until(events.exists, "an event")
    (event,) = [json.loads(line) for line in events.read_text().splitlines()]
    *_, error = event["exception"]["values"]
    assert (error["type"], event["transaction"]) == ("KeyError", "appraise")
    assert error["mechanism"]["type"] == "celery"
    assert error["stacktrace"]["frames"][-1]["function"] == "appraise"
    assert event["tags"]["saga"] == "appraisal"
