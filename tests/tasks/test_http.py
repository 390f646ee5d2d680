import asyncio
import socket
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from saga import Permanent, Unknown
from saga.operations.demo.services import Services
from saga.tasks.desk import Ticket
from saga.tasks.failures import BadAnswer, CallFailed
from saga.tasks.http import HttpAnswer, call

TICKET = {"reference": "A-1", "customer": "C-00001", "category": "card", "text": "Hello"}


def run(method: str, url: str, **options: Any) -> HttpAnswer:
    return asyncio.run(call(method, url, **options))


@contextmanager
def listener(*, answering: bytes | None = None) -> Generator[str]:
    """A server that takes one connection and says `answering`, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def serve() -> None:
            # Who waits for no answer may have gone, or have given up before it came.
            with suppress(OSError), server.accept()[0] as connection:
                if answering is not None:
                    connection.recv(65536)
                    connection.sendall(answering)
                while answering is None and connection.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_the_same_key_is_one_effect(services: Services, tmp_path: Path) -> None:
    url = f"{services.addresses['tickets']}/tickets"
    first = run("POST", url, json=TICKET, key="k")
    again = run("POST", url, json=TICKET, key="k")
    assert first.read_as(Ticket) == again.read_as(Ticket) == Ticket(id="T-000001", state="open")
    assert again.headers["idempotent-replayed"] == "true"
    with closing(sqlite3.connect(tmp_path / "tickets.db")) as ledger:
        assert ledger.execute("SELECT count(*) FROM effect").fetchone() == (1,)
        assert ledger.execute("SELECT count(*) FROM request").fetchone() == (2,)


def test_a_read_carries_no_key_and_may_expect_404(services: Services, tmp_path: Path) -> None:
    url = f"{services.addresses['tickets']}/tickets?key=none"
    assert run("GET", url, expect={404}).status == 404
    with pytest.raises(Permanent, match="404"):
        run("GET", url)
    with closing(sqlite3.connect(tmp_path / "tickets.db")) as ledger:
        assert ledger.execute("SELECT DISTINCT key FROM request").fetchall() == [(None,)]


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/tickets"
        with pytest.raises(CallFailed, match="ConnectError"):
            run("POST", url, json=TICKET)


def test_no_answer_in_time() -> None:
    with listener() as url, pytest.raises(Unknown, match=r"no whole|Timeout"):
        run("POST", url, json=TICKET, within=0.2)
    with listener() as url, pytest.raises(CallFailed, match=r"no whole|Timeout"):
        run("GET", url, within=0.2)


def test_an_answer_that_drips(services: Services) -> None:
    services.model.script.add("drip")
    with pytest.raises(Unknown, match="no whole answer"):
        run(
            "POST",
            f"{services.addresses['model']}/v1/messages",
            json={"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]},
            headers={"Authorization": "Bearer x", "anthropic-version": "1"},
            within=0.3,
        )


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{", b"HTTP/1.1 500 Oops\r\n\r\n"],
)
def test_cut_or_broken_after_it_was_sent(answer: bytes) -> None:
    with listener(answering=answer) as url, pytest.raises(Unknown):
        run("POST", url, json=TICKET)


def test_what_is_no_json_is_said(services: Services) -> None:
    html = HttpAnswer(
        method="GET", status=200, headers={"content-type": "text/html"}, body="<html>\n</html>"
    )
    with pytest.raises(
        BadAnswer, match=r"text/html\) is no Ticket: all of it: Invalid JSON.*<html> </html>"
    ):
        html.read_as(Ticket)
    with pytest.raises(Unknown):
        html.model_copy(update={"method": "POST"}).read_as(Ticket)
    with pytest.raises(BadAnswer):
        html.model_copy(update={"body": '{"id": 7}'}).read_as(Ticket)


def test_an_address_that_is_none() -> None:
    with pytest.raises(Permanent):
        run("POST", "ftp://localhost/x")
