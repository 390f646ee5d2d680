"""The demo's services: what they deduplicate, what they record, and how they end."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from saga.operations.demo import audit
from saga.operations.demo.messages import read
from saga.operations.demo.model import answer, classify
from saga.operations.demo.services import Services, serving
from saga.tasks.desk import Category

TICKET = {"reference": "A-1", "customer": "C-00001", "category": "card", "text": "Hello"}
HOLD = {"reference": "A-1", "customer": "C-00001", "cents": 500}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False) as made:
        yield made


def post(client: httpx2.Client, url: str, body: dict[str, Any], key: str | None) -> httpx2.Response:
    return client.post(url, json=body, headers={"Idempotency-Key": key} if key else {})


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as ledger:
        return ledger.execute(statement).fetchall()


def test_a_key_is_one_effect_and_every_request_is_recorded(
    services: Services, client: httpx2.Client, tmp_path: Path
) -> None:
    url = f"{services.addresses['tickets']}/tickets"
    statuses = [
        post(client, url, body, key).status_code
        for body, key in (
            (TICKET, "a"),
            (TICKET, "a"),
            (TICKET | {"text": "Other"}, "a"),
            (TICKET, None),
            (TICKET | {"text": ""}, "b"),
            (TICKET, "c"),
        )
    ]
    assert statuses == [201, 201, 422, 400, 400, 201]
    ledger = tmp_path / "tickets.db"
    assert rows(ledger, "SELECT key FROM effect ORDER BY number") == [("a",), ("c",)]
    assert rows(ledger, "SELECT status, repeated FROM request ORDER BY number") == [
        (201, 0),
        (201, 1),
        (422, 0),
        (400, 0),
        (400, 0),
        (201, 0),
    ]
    found = audit.audit(tmp_path, ["A-1"])
    assert (found.duplicate_effects, found.lost) == (1, ("A-1",))


def test_money_moves_and_is_conserved(
    services: Services, client: httpx2.Client, tmp_path: Path
) -> None:
    url = services.addresses["payments"]
    hold = post(client, f"{url}/holds", HOLD, "h").json()["id"]
    assert client.get(f"{url}/balance").json() == {"budget": 99_999_500, "held": 500, "paid": 0}
    assert not audit.audit(tmp_path, []).money_is_conserved
    refund = {"reference": "A-1", "hold": hold}
    assert post(client, f"{url}/refunds", refund, "r").status_code == 201
    assert post(client, f"{url}/refunds", refund, "other").status_code == 422
    release = {"reference": "A-1", "made_by": "h"}
    assert post(client, f"{url}/holds/release", release, "u").status_code == 409
    assert client.get(f"{url}/balance").json() == {"budget": 99_999_500, "held": 0, "paid": 500}
    assert audit.audit(tmp_path, []).money_is_conserved


def test_a_closed_account_is_declined_and_the_hold_released(
    services: Services, client: httpx2.Client
) -> None:
    url = services.addresses["payments"]
    hold = post(client, f"{url}/holds", HOLD | {"customer": "C-00014"}, "h").json()["id"]
    declined = post(client, f"{url}/refunds", {"reference": "A-1", "hold": hold}, "r")
    assert declined.status_code == 402
    for key in ("u", "u"):
        post(client, f"{url}/holds/release", {"reference": "A-1", "made_by": "h"}, key)
    assert client.get(f"{url}/balance").json() == {"budget": 100_000_000, "held": 0, "paid": 0}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /tickets HTTP/1.1\r\nContent-Length: 3\r\n\r\n{]}", 400),
        (b"POST /tickets HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST /tickets HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /tickets HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
    ],
)
def test_what_is_no_request_gets_an_answer(services: Services, sent: bytes, status: int) -> None:
    host, _, port = services.addresses["tickets"].removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(sent)
        assert connection.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())


def test_the_stand_in_tells_the_bundled_messages_apart() -> None:
    categories = [classify(text, list(Category)) for text in read(None)]
    assert set(categories) == set(Category)
    assert categories == [classify(text, list(Category)) for text in read(None)]


def test_the_stand_in_answers_what_it_was_asked() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    assert answer(body, "k")["content"][0]["text"] == "I have read: Hello"
    assert answer(body, "k") == answer(body, "k")
    schema = {"properties": {"n": {"type": "integer"}, "s": {"type": "string"}}}
    typed = answer(body | {"output_config": {"format": {"schema": schema}}}, "k")
    assert json.loads(typed["content"][0]["text"]) == {"n": 0, "s": "Hello"}


def test_some_model_calls_fail_at_the_first_attempt_only(
    tmp_path: Path, client: httpx2.Client
) -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
    headers = {"Authorization": "Bearer x", "anthropic-version": "1"}
    with serving(tmp_path, trouble=1.0) as services:
        url = f"{services.addresses['model']}/v1/messages"

        def status(key: str) -> int:
            try:
                sent = {**headers, "Idempotency-Key": key}
                return client.post(url, json=body, headers=sent).status_code
            except httpx2.RemoteProtocolError:
                return 0

        first = {key: status(key) for key in map(str, range(40))}
        assert set(first.values()) == {0, 429, 500, 529}
        assert {status(key) for key in first} == {200}


@pytest.mark.parametrize("end", ["sigterm", "stdin"])
def test_the_process_announces_itself_and_ends(tmp_path: Path, end: str) -> None:
    command = [sys.executable, "-m", "saga.operations.demo.services", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        assert addresses.keys() == {"model", "crm", "tickets", "payments", "mail"}
        assert httpx2.get(f"{addresses['crm']}/customers/C-00042").json()["id"] == "C-00042"
        os.kill(process.pid, signal.SIGINT)  # a Ctrl-C in the terminal is not for this process
        assert httpx2.get(f"{addresses['crm']}/nobody").status_code == 404
        if end == "sigterm":
            process.terminate()
        else:
            process.stdin.close()
        assert process.wait(60) == 0


def test_what_was_applied_survives_kill_9(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "saga.operations.demo.services", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["tickets"]
        sent = httpx2.post(f"{url}/tickets", json=TICKET, headers={"Idempotency-Key": "a"})
        process.kill()
    assert sent.status_code == 201
    assert rows(tmp_path / "tickets.db", "SELECT key, operation FROM effect") == [
        ("a", "ticket.open")
    ]
