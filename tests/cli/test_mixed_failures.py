"""Sagas stand still for a dozen causes: each is found from the command line, and mended in bulk."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from saga import Client
from saga.operations.embedded import EmbeddedPostgres
from saga.storage.migrate import migrate
from tests.cli.commands import run, spawn, until
from tests.cli.conftest import end

EACH = 7  # sagas of a kind: more than the errors of a kind that are told apart
STANDS = {
    "payment": "failed",
    "parcel": "failed",
    "lookup": "failed",
    "order": "partly_compensated",
    "shipment": "blocked",
    "refund": "approval",
    "invoice": "signal",
    "quote": "signal",
    "newsletter": "signal",
    "cleaning": "ready",
    "payout": "unknown",
    "letter": "retrying",
    "reminder": "timer",
}
CAUSES = {
    "payment": "(ConnectionRefusedError: gateway pay.example:443 refused order",
    "parcel": "child 1 payment failed (ConnectionRefusedError: gateway",
    "lookup": "its code failed (KeyError: 'prise' at trouble.py:",
    "order": "its undo release is blocked: OSError: the shelf is locked",
    "shipment": "its outcome is unknown, Unknown: no answer from the carrier): a person",
    "refund": "waits for an approval: refund",
    "invoice": "waits for a signal: paid",
    "quote": "waits for a signal: accepted",
    "newsletter": "Version 1 of newsletter has no worker: of 1 live worker on queue sagas",
    "cleaning": "no live worker serves queue attic",
    "payout": "is unknown (TimeoutError: the bank did not answer in time",
    "letter": "after attempt 1 failed: ConnectionRefusedError: 450 try again later",
    "reminder": "It sleeps until",
}
ENDS = {
    **dict.fromkeys(STANDS, "completed"),
    "order": "compensated",
    "reminder": "cancelled",
    "quote": "cancelled",
}


class Trial:
    """Commands on a database of its own, and workers with the old or the mended code."""

    def __init__(self, database_url: str, broker_url: str, folder: Path) -> None:
        self._folder = folder
        self._workers: list[subprocess.Popen[str]] = []
        self.environment = {
            "SAGA_DATABASE_URL": database_url,
            "SAGA_BROKER_URL": broker_url,
            "TROUBLE": str(folder),
        }

    def saga(self, *arguments: str) -> Any:
        done = run(*arguments, "--json", **self.environment)
        assert done.code == 0, done
        return done.json

    def counts(self, *by: str, **wanted: str) -> dict[Any, int]:
        options = [word for name, value in wanted.items() for word in (f"--{name}", value)]
        rows = self.saga("stats", "--by", ",".join(by), *options)["counts"]
        return {tuple(row[name] for name in by): row["count"] for row in rows}

    def work(self, queues: str = "sagas,work", code: str = "old") -> subprocess.Popen[str]:
        known = len(self.saga("workers")["workers"])
        environment = {**self.environment, "TROUBLE_CODE": code}
        worker = spawn("--app", "trouble", "worker", "-Q", queues, **environment)
        self._workers.append(worker)
        until(lambda: len(self.saga("workers")["workers"]) > known, "a worker")
        return worker

    def stop(self) -> None:
        while self._workers:
            end(self._workers.pop())

    def mend(self, what: str) -> None:
        (self._folder / what).touch()

    def _left(self, command: tuple[str, ...]) -> int:
        return len(self.saga(*command, "--dry-run")["would"])

    def in_bulk(self, *command: str) -> int:
        """A dry run names them, one is tried first, and then the others are acted on."""
        would = self.saga(*command, "--dry-run")["would"]
        first = self.saga(*command, "--limit", "1")
        if command[0] != "signal":  # what has had its signal still fits the filter
            until(lambda: self._left(command) < len(would), "the first one goes on")
        rest = self.saga(*command, "--all")
        assert (first["refused"], rest["refused"], rest["stopped"]) == ([], [], False)
        done = len(first["done"]) + len(rest["done"])
        assert done >= len(would), command
        return len(would)


@pytest.fixture
def trial(postgres: EmbeddedPostgres, broker_url: str, tmp_path: Path) -> Iterator[Trial]:
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE trouble"))
    url = postgres.url_of("trouble")
    migrate(url)
    found = Trial(url, broker_url, tmp_path)
    yield found
    found.stop()


def start(trial: Trial) -> None:
    environment = trial.environment
    with Client(environment["SAGA_DATABASE_URL"], environment["SAGA_BROKER_URL"]) as client:
        for number in range(EACH):
            for name in STANDS:
                client.start(name, number=number, key=f"{name}-{number}")


def stand_still(trial: Trial) -> bool:
    """Whether each saga is where it gets no further by itself."""
    found = trial.saga("list", "--roots", "--limit", "1000")["sagas"]
    at = {row["key"]: [row["status"], *(state for _, state in row["doing"])] for row in found}
    return all(
        {"signal": "waiting", "approval": "waiting", "timer": "waiting"}.get(where, where)
        in at.get(f"{name}-{number}", ())
        for name, where in STANDS.items()
        for number in range(EACH)
    )


def test_the_whole_journey(trial: Trial) -> None:
    trial.work()
    start(trial)
    until(lambda: stand_still(trial), "all stand still")
    trial.stop()
    trial.work(code="new")
    causes_are_counted(trial)
    each_says_why(trial)
    trial.mend("gateway")
    trial.mend("shelf")
    trial.mend("mail")
    trial.mend("bank")
    for command in (
        ("retry", "--error", "gateway pay.example:* refused order *"),
        ("retry", "--error", "prise", "--reason", "the code is mended"),
        ("resolve", "retry", "--step", "release", "--error", "locked"),
        ("resolve", "done", "--error", "no answer from", "--result", '"parcel 7"'),
        ("approve", "--saga", "refund", "--by", "ann"),
        ("signal", "paid", "--waits-for", "signal:paid", "--payload", "5"),
        ("cancel", "--waits-for", "timer", "--name", "reminder", "--reason", "unwanted"),
    ):
        wanted = 2 * EACH if "gateway" in command[-1] else EACH
        assert trial.in_bulk(*command) == wanted, command
    for waits_for in ("retry", "unknown"):
        assert trial.in_bulk("retry", "--waits-for", waits_for) == EACH
    the_code_changed(trial)
    trial.work("attic")
    until(lambda: trial.counts("name", "status") == ended(), "all end well")
    acts = trial.saga("audit", "--limit", "1000")["actions"]
    assert not [act for act in acts if act["refused"]]


def ended() -> dict[tuple[str, str], int]:
    found = dict.fromkeys(ENDS.items(), EACH)
    return {**found, ("payment", "completed"): 2 * EACH}  # parcels have one each


def causes_are_counted(trial: Trial) -> None:
    """Each is one line, however many order numbers its errors name."""
    kinds = trial.counts("step", "error", "status")
    gateway = "ConnectionRefusedError: gateway pay.example:* refused order *"
    assert kinds["charge", gateway, "failed"] == 2 * EACH
    assert kinds["payment", gateway, "failed"] == EACH
    assert kinds["ship", "Unknown: no answer from the carrier", "running"] == EACH
    assert len(kinds) == len(STANDS)
    assert trial.counts("error", "name", error=gateway) == {
        (gateway, "payment"): 2 * EACH,
        (gateway, "parcel"): EACH,
    }


def each_says_why(trial: Trial) -> None:
    until(lambda: "has no worker" in why(trial, "newsletter-0"), "the old worker is gone")
    for name, words in CAUSES.items():
        for number in range(EACH):
            assert words in why(trial, f"{name}-{number}")
    assert "saga --app MODULE worker -Q attic" in trial.saga("why", "cleaning-0")["commands"]


def why(trial: Trial, key: str) -> str:
    return trial.saga("why", key)["answer"]


def the_code_changed(trial: Trial) -> None:
    """What the new code does not fit is parked once it has news; the rest needs its old worker."""
    trial.in_bulk("signal", "accepted", "--name", "quote", "--payload", "true")
    trial.in_bulk("signal", "go", "--name", "newsletter", "--payload", "true")
    quotes = {("quote",): EACH}
    until(lambda: trial.counts("name", status="parked") == quotes, "the quotes are parked")
    assert "It is parked" in why(trial, "quote-0")
    assert trial.in_bulk("cancel", "--status", "parked", "--reason", "quoted anew") == EACH
    trial.work("sagas")
