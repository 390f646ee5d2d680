"""Following sagas, and the audit trail."""

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from saga import Client
from saga.core.states import SagaStatus, StepState
from tests.cli.commands import PATIENCE, run, spawn
from tests.storage.rows import Rows


@pytest.fixture
def following(database_url: str) -> Iterator[list[subprocess.Popen[str]]]:
    made: list[subprocess.Popen[str]] = []
    yield made
    for process in made:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_saga_is_shown_as_it_goes_on(
    database_url: str, rows: Rows, following: list[subprocess.Popen[str]]
) -> None:
    saga_id = rows.saga("order", key="o-1")
    following.append(spawn("show", "o-1", "--follow", "--json", SAGA_DATABASE_URL=database_url))
    assert json.loads(line_of(following[0]))["after"] == "running"
    rows.step(saga_id, 1, StepState.SUCCEEDED)
    told = [json.loads(line_of(following[0])) for _ in range(3)]
    assert [(row["name"], row["after"]) for row in told] == [
        ("reserve", "ready"),
        ("reserve", "running"),
        ("reserve", "succeeded"),
    ]
    rows._update_saga(saga_id, status="completed", ended_at="now()")
    rows._note(saga_id, None, None, "running", "completed")
    stdout, stderr = following[0].communicate(timeout=PATIENCE)
    last = stdout.splitlines()
    assert json.loads(last[0])["after"] == "completed"
    assert json.loads(last[1])["verdict"].startswith("Completed after")
    assert (following[0].returncode, stderr) == (0, "")


def test_a_list_goes_on_with_what_moves(
    database_url: str, rows: Rows, following: list[subprocess.Popen[str]]
) -> None:
    saga_id = rows.saga("order")
    following.append(
        spawn("list", "--follow", "--name", "order", "--json", SAGA_DATABASE_URL=database_url)
    )
    assert json.loads(line_of(following[0]))["id"] == str(saga_id)
    rows.step(saga_id, 1, StepState.WAITING, kind="approval", name="big")
    assert json.loads(line_of(following[0]))["doing"] == [["big", "waiting"]]
    rows.saga("parcel")
    other = rows.saga("order", SagaStatus.PARKED)
    assert json.loads(line_of(following[0]))["id"] == str(other)
    following[0].send_signal(signal.SIGINT)
    _, stderr = following[0].communicate(timeout=PATIENCE)
    assert (following[0].returncode, stderr) == (0, "")


def test_a_list_is_followed_by_people(
    database_url: str, rows: Rows, following: list[subprocess.Popen[str]]
) -> None:
    rows.saga("order", key="o-1")
    following.append(spawn("list", "--follow", SAGA_DATABASE_URL=database_url))
    assert line_of(following[0]).split()[:3] == ["ID", "SAGA", "KEY"]
    assert " o-1 " in line_of(following[0])
    rows.saga("order", key="o-2")
    assert " o-2 " in line_of(following[0])


def test_audit(database_url: str, rows: Rows) -> None:
    saga_id = rows.saga("order", key="o-1")
    assert run("audit", SAGA_DATABASE_URL=database_url).stdout == "Nothing was done.\n"
    with Client(database_url) as client:
        client.cancel(saga_id, by="ann", reason="sold out")
        assert run("cancel", "o-1", "--by", "bob", SAGA_DATABASE_URL=database_url).code == 1

    def told(*words: str) -> list[tuple[str, str, str | None]]:
        actions = run("audit", *words, "--json", SAGA_DATABASE_URL=database_url).json["actions"]
        return [(row["actor"], row["action"], row["reason"]) for row in actions]

    both = [("bob", "cancel", None), ("ann", "cancel", "sold out")]
    assert told() == told("o-1", "--action", "cancel", "--since", "1h") == both
    assert told("--actor", "ann") == told("--done") == both[1:]
    assert told("--refused") == both[:1]
    shown = run("audit", "--limit", "1", SAGA_DATABASE_URL=database_url).stdout
    assert "it is compensating" in shown or "compensating" in shown
    assert "More: --before" in shown
