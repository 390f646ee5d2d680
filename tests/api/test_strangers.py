"""Who has no token, or one that allows little, keeps nobody else out."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from tests.api.test_away import announce
from tests.live.http import Api
from tests.live.processes import until
from tests.live.serving import make_tokens, serving

ORDER = {"name": "order", "input": {"item": "x"}}


class Server:
    """One of its own, and tokens."""

    def __init__(self, api: Api, tokens: dict[str, str]) -> None:
        self.api = api
        self.tokens = tokens
        self.port = urlsplit(api.url).port or 0

    def as_(self, role: str) -> Api:
        return self.api.with_token(self.tokens[role])

    def connect(self, sent: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(sent)
        return connection

    def half(self, role: str | None) -> bytes:
        """A head that promises more than what comes."""
        return self.head("POST", "/v1/sagas", role, "Content-Length: 1000") + b"{"

    def head(self, method: str, path: str, role: str | None, *more: str) -> bytes:
        token = [f"Authorization: Bearer {self.tokens[role]}"] if role else []
        kind = "Content-Type: application/json"
        return "\r\n".join(
            [f"{method} {path} HTTP/1.1", "Host: x", kind, *token, *more, "", ""]
        ).encode()


def status_of(connection: socket.socket) -> int:
    """Of the answer; 0 if the server has hung up without one."""
    head = b""
    while b"\r\n" not in head:
        more = connection.recv(4096)
        if not more:
            return 0
        head += more
    return int(head.split(b" ", 2)[1])


@contextmanager
def server(database_url: str, folder: Path, **limits: str) -> Generator[Server]:
    announce(database_url)
    with serving(database_url, None, folder / "server", **limits) as api:
        yield Server(api, make_tokens(database_url))


def test_half_a_body_without_a_token(database_url: str, tmp_path: Path) -> None:
    """It holds no place: the answer comes before the body, which is then hung up on."""
    with server(database_url, tmp_path, SAGA_API_WAITING="5") as it, ExitStack() as stack:
        open_ = [stack.enter_context(it.connect(it.half(None))) for _ in range(12)]
        assert {status_of(one) for one in open_} <= {401, 429}
        assert it.api.get("/health/live").status == 200
        assert it.as_("viewer").get("/v1/sagas").status == 200
        for one in open_:
            until(lambda: not one.recv(4096), "the server hangs up")  # noqa: B023 - at once


def test_half_a_body_with_a_token(database_url: str, tmp_path: Path) -> None:
    """So many of one address are waited for, and for so long."""
    limits = {"SAGA_API_WAITING": "60", "SAGA_API_TIMEOUT": "6"}
    with server(database_url, tmp_path, **limits) as it, ExitStack() as stack:
        open_ = [stack.enter_context(it.connect(it.half("viewer"))) for _ in range(25)]
        assert it.api.get("/health").status == 200
        assert it.as_("viewer").get("/v1/sagas").status == 200
        assert Counter(map(status_of, open_)) == {408: 20, 429: 5}
        assert it.as_("operator").post("/v1/sagas", ORDER).status == 201


def test_a_refusal_is_seen_by_who_still_sends(database_url: str, tmp_path: Path) -> None:
    body = b'{"name": "' + b"x" * 1_000_000
    with server(database_url, tmp_path) as it:
        head = it.head("POST", "/v1/sagas", None, f"Content-Length: {len(body)}")
        with it.connect(head + body) as connection:
            assert status_of(connection) == 401


def test_half_a_head(database_url: str, tmp_path: Path) -> None:
    with server(database_url, tmp_path) as it, ExitStack() as stack:
        for sent in (b"", b"GET /health/live HTT", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            connection = stack.enter_context(it.connect(sent))
            assert status_of(connection) == 0


def test_wrong_tokens_are_not_looked_up_once_there_were_many(
    database_url: str, tmp_path: Path
) -> None:
    """Not even with Postgres held; a token that was valid before still is."""
    limits = {"SAGA_API_RATE": "0.1", "SAGA_API_BURST": "20"}
    with server(database_url, tmp_path, **limits) as it:
        assert it.as_("viewer").get("/v1/sagas").status == 200
        wrong = it.api.with_token("saga_x")
        assert [wrong.get("/v1/sagas").status for _ in range(3)] == [401, 401, 429]
        with psycopg.connect(database_url) as connection:
            connection.execute("LOCK TABLE saga.token IN ACCESS EXCLUSIVE MODE")
            assert [wrong.get("/v1/sagas").status for _ in range(2)] == [429, 429]
        assert it.as_("viewer").get("/v1/sagas").status == 200
        assert it.as_("admin").get("/v1/sagas").status == 429, "it was never seen before"


@pytest.mark.parametrize(("proxies", "last"), [(None, 429), ("127.0.0.1", 401)])
def test_whose_forwarded_address_is_believed(
    database_url: str, tmp_path: Path, proxies: str | None, last: int
) -> None:
    limits = {"SAGA_API_RATE": "0.1", "SAGA_API_BURST": "20"}
    limits |= {"FORWARDED_ALLOW_IPS": proxies} if proxies else {}
    with server(database_url, tmp_path, **limits) as it:
        asked = [
            it.api.get("/v1/sagas", headers={"X-Forwarded-For": f"192.0.2.{n}"}).status
            for n in range(4)
        ]
        assert asked == [401, 401, last, last]


def test_streams_have_a_limit_and_tokens_a_share(database_url: str, tmp_path: Path) -> None:
    with server(database_url, tmp_path, SAGA_API_STREAMS="6") as it, ExitStack() as stack:
        saga_id = it.as_("operator").post("/v1/sagas", ORDER).json["id"]

        def follow(role: str, times: int) -> Counter[int]:
            """All at once."""
            head = it.head("GET", f"/v1/sagas/{saga_id}/events", role)
            open_ = [stack.enter_context(it.connect(head)) for _ in range(times)]
            return Counter(map(status_of, open_))

        assert follow("viewer", 8) == {200: 3, 503: 5}
        assert follow("operator", 8) == {200: 3, 503: 5}
        assert follow("admin", 1) == {503: 1}
        assert it.as_("viewer").get("/v1/sagas").status == 200
        stack.close()
        until(lambda: follow("admin", 1) == {200: 1}, "streams that are closed count no more")


def test_forty_requests_on_a_saga_that_is_held(database_url: str, tmp_path: Path) -> None:
    with server(database_url, tmp_path) as it, ExitStack() as stack:
        saga_id = it.as_("operator").post("/v1/sagas", ORDER).json["id"]
        body = b'{"name": "x"}'
        length = f"Content-Length: {len(body)}"
        head = it.head("POST", f"/v1/sagas/{saga_id}/signals", "operator", length)
        with psycopg.connect(database_url) as connection:
            connection.execute("SELECT FROM saga.saga WHERE id = %s FOR UPDATE", (saga_id,))
            open_ = [stack.enter_context(it.connect(head + body)) for _ in range(40)]
            until(lambda: _waiting(database_url) >= 2, "they wait for the row")
            for _ in range(5):
                assert it.as_("viewer").get("/v1/sagas").status == 200
                assert it.as_("operator").post("/v1/sagas", ORDER).status == 201
            assert not _readable(open_), "all else came before any of them"
        assert Counter(map(status_of, open_))[201] >= 20, "when it is let go they are carried out"


def _waiting(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock'"
        )
        return rows.rowcount


def _readable(connections: list[socket.socket]) -> list[socket.socket]:
    found: list[socket.socket] = []
    for one in connections:
        one.setblocking(False)
        try:
            one.recv(1, socket.MSG_PEEK)
            found.append(one)
        except BlockingIOError:
            pass
        one.settimeout(60)
    return found


def test_large_bodies_take_turns(database_url: str, tmp_path: Path) -> None:
    """A body of 1 MB may be 130,000 objects, some 40 MB of memory wherever it is parsed."""
    items = ",".join(['{"a":1}'] * 130_000)
    body = f'{{"name":"order","input":{{"item":[{items}]}}}}'.encode()
    with server(database_url, tmp_path) as it, ExitStack() as stack:
        process = psutil.Process(_listening(it.port))
        before, most = process.memory_info().rss, 0
        length = f"Content-Length: {len(body)}"
        head = it.head("POST", "/v1/sagas", "operator", length)
        open_ = [stack.enter_context(it.connect(head + body)) for _ in range(6)]
        found: list[int] = []
        reading = threading.Thread(target=lambda: found.extend(map(status_of, open_)))
        reading.start()
        while reading.is_alive():
            assert it.as_("viewer").get("/v1/sagas").status == 200
            most = max(most, process.memory_info().rss)
            time.sleep(0.02)
        assert set(found) <= {201, 503}
        assert 201 in found
        assert most - before < 150e6, f"{most / 1e6:.0f} MB"


def _listening(port: int) -> int:
    return next(
        c.pid
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port and c.pid
    )


def test_one_asks_for_all_how_the_databases_are(database_url: str, tmp_path: Path) -> None:
    with server(database_url, tmp_path) as it:
        before = _connected(database_url)
        threads = [threading.Thread(target=lambda: it.api.get("/health")) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert _connected(database_url) - before < 15


def _connected(database_url: str) -> int:
    """Sessions of the database, ever."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
    with psycopg.connect(database_url) as connection:
        row: Any = connection.execute(
            "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        return row[0]


def test_since_repeats_no_value(database_url: str, tmp_path: Path) -> None:
    with server(database_url, tmp_path) as it:
        for path in ("/v1/sagas", "/v1/effects", "/v1/audit", "/v1/approvals"):
            answer = it.as_("admin").get(path, since="c4n4ry")
            assert (answer.status, answer.fields) == (422, ["query.since"])
            assert b"c4n4ry" not in answer.body
