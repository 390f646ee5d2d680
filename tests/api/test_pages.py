"""Pages end by bytes as well as by rows, and nothing is left out or shown twice."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from saga import Client
from saga.operations.api.pages import PAGE
from tests.api.test_strangers import Server, server
from tests.live.http import Api

ROWS = 7
VALUE = json.dumps([{"a": 1, "text": "x" * 30}] * 8_000)  # some 400 kB: two fit on a page
ROOM = 20_000  # bytes for all that is no value
ONE = "00000000-0000-4000-8000-000000000001"

# As the engine would leave them, without the steps in between.
FILL = """
SET session_replication_role = replica;
INSERT INTO saga.saga (id, name, version, queue, input, error)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'order', 1, 'sagas', '{}',
       %(value)s::json FROM generate_series(1, %(rows)s) n;
INSERT INTO saga.history (saga_id, seq, after, actor, reason)
SELECT %(one)s, n, 'running', 'x', CASE WHEN n < %(rows)s THEN left(%(value)s, 400000) END
  FROM generate_series(1, %(rows)s) n;
INSERT INTO saga.history (saga_id, seq, position, undo, after)
SELECT %(one)s, %(rows)s + n, n, false, 'running' FROM generate_series(1, 3 * %(rows)s) n;
INSERT INTO saga.step (saga_id, position, undo, kind, name, queue, state, attempt, args, result,
                       started_at, settled_at, after)
SELECT %(one)s, n, false, 'step', 'pay', 'q', 'succeeded', 1, '{}', %(value)s, now(), now(), 0
  FROM generate_series(1, %(rows)s) n;
INSERT INTO saga.step (saga_id, position, undo, kind, name, state, attempt, args, after)
SELECT %(one)s, %(rows)s + n, false, 'approval', 'refund', 'waiting', 0, %(value)s, 0
  FROM generate_series(1, %(rows)s) n;
INSERT INTO saga.step (saga_id, position, undo, kind, name, queue, state, attempt, args, after,
                       started_at)
SELECT %(one)s, 2 * %(rows)s + n, false, 'step', 'send', 'q', 'blocked', 1, %(value)s, 0, now()
  FROM generate_series(1, %(rows)s) n;
INSERT INTO saga.signal (saga_id, event, name, payload)
SELECT %(one)s, n, 'seen', %(value)s FROM generate_series(1, %(rows)s) n;
INSERT INTO saga.audit (actor, action, details)
SELECT 'x', 'test', %(value)s FROM generate_series(1, %(rows)s) n
"""


@pytest.fixture
def it(database_url: str, tmp_path: Path) -> Generator[Server]:
    with psycopg.connect(database_url) as connection, psycopg.ClientCursor(connection) as cursor:
        cursor.execute(FILL, {"value": VALUE, "rows": ROWS, "one": ONE})
    with server(database_url, tmp_path) as it:
        yield it


def pages(api: Api, path: str, key: str, turn: str = "cursor", **query: Any) -> list[list[Any]]:
    """The rows of each, to the last."""
    found: list[list[Any]] = []
    following: Any = None
    while following is not None or not found:
        more = {} if following is None else {turn: following}
        answer = api.get(path, **query, **more)
        assert answer.status == 200, answer
        assert len(answer.body) < PAGE + ROOM
        found.append(answer.json[key])
        following = answer.json["next"]
    return found


@pytest.mark.parametrize(
    ("path", "key", "turn", "of"),
    [
        ("/v1/sagas", "sagas", "cursor", "id"),
        ("/v1/effects", "effects", "cursor", "key"),
        (f"/v1/sagas/{ONE}/effects", "effects", "cursor", "key"),
        ("/v1/approvals", "approvals", "cursor", "position"),
        ("/v1/blocked", "blocked", "cursor", "position"),
        ("/v1/audit", "actions", "before", "id"),
        (f"/v1/sagas/{ONE}/history", "transitions", "after", "seq"),
    ],
)
def test_a_page_ends_by_bytes(it: Server, path: str, key: str, turn: str, of: str) -> None:
    found = pages(it.as_("admin"), path, key, turn, limit=1000)
    assert len(found) >= ROWS // 2
    seen = [row[of] for page in found for row in page]
    assert len(seen) == len(set(seen))
    assert len(seen) >= ROWS
    by_rows = pages(it.as_("admin"), path, key, turn, limit=1)
    assert [row[of] for page in by_rows for row in page] == seen


def test_a_saga_is_shown_in_pages(it: Server) -> None:
    """Its steps first, then its signals."""
    steps: list[Any] = []
    signals: list[Any] = []
    query: dict[str, Any] = {}
    while True:
        page = it.as_("viewer").get(f"/v1/sagas/{ONE}", **query)
        assert len(page.body) < PAGE + len(VALUE) + 2 * ROOM, "what the saga has itself on top"
        steps += page.json["steps"]
        signals += page.json["signals"]
        if page.json["next"] is None:
            break
        query = {"cursor": page.json["next"]}
    assert [step["position"] for step in steps] == list(range(1, 3 * ROWS + 1))
    assert steps[0]["result"] == json.loads(VALUE)
    assert [signal["event"] for signal in signals] == list(range(1, ROWS + 1))


def test_a_client_reads_as_many_as_it_asks_for(it: Server, database_url: str) -> None:
    with Client(database_url) as client:
        page = client.list(limit=1000)
        assert (len(page.rows), page.next) == (ROWS, None)
        shown = client.show(ONE)
        assert (len(shown.steps), len(shown.signals), shown.next) == (3 * ROWS, ROWS, None)
