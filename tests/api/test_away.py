"""With Postgres or Redis away the API answers in time and says so; afterwards it works (I17)."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from saga.operations.embedded import EmbeddedStack
from tests.live.http import Answer, Api
from tests.live.processes import until
from tests.live.serving import make_tokens, serving

LIMIT = 2.0
"""Seconds after which the server answers 503."""
SLACK = 15.0
"""Seconds; what a busy machine adds. What hangs would do so for as long as the server is away."""

START = {"name": "order", "input": {"item": "x"}}


def announce(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO saga.definition (name, version, queue, input_schema)"
            " VALUES ('order', 1, 'sagas', '{}')"
        )


@contextmanager
def opened(database_url: str, broker_url: str | None, folder: Path, **more: str) -> Generator[Api]:
    announce(database_url)
    tokens = make_tokens(database_url)
    limits = {"SAGA_API_TIMEOUT": str(LIMIT)} | more
    with serving(database_url, broker_url, folder / "server", **limits) as api:
        yield api.with_token(tokens["admin"])


def is_said(api: Api, status: int, postgres: str, redis: str) -> None:
    """Soon; what is up may look down while the machine is busy."""

    def health() -> tuple[int, str, str]:
        found = api.get("/health")
        return found.status, found.json["postgres"], found.json["redis"]

    wanted = status, postgres, redis
    until(lambda: health() == wanted, f"{wanted} is said", describe=lambda: str(health()))


@contextmanager
def frozen(pid: int) -> Generator[None]:
    """A server that neither answers nor hangs up."""
    server = psutil.Process(pid)
    server.suspend()  # first: it makes no more children
    children = server.children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):  # it was at its end
            child.suspend()
    try:
        yield
    finally:
        for process in (*children, server):
            with suppress(psutil.NoSuchProcess):
                process.resume()


def timed(ask: Callable[[], Answer], limit: float = LIMIT) -> Answer:
    """An answer that came in time."""
    before = time.monotonic()
    answer = ask()
    assert time.monotonic() - before < limit + SLACK, answer
    return answer


def all_refused(api: Api) -> None:
    """Whatever is asked, by many at once."""
    wrong: list[Any] = []
    nobody = "00000000-0000-4000-8000-000000000000"
    asks: list[Callable[[], Answer]] = [
        lambda: api.post("/v1/sagas", START),
        lambda: api.get("/v1/sagas"),
        lambda: api.get(f"/v1/sagas/{nobody}"),
        lambda: api.get(f"/v1/sagas/{nobody}/events"),
        lambda: api.get("/metrics"),
        lambda: api.post(f"/v1/sagas/{nobody}/signals", {"name": "x"}),
    ]

    def ask(one: Callable[[], Answer]) -> None:
        try:
            answer = timed(one)
            assert (answer.status, answer.problem) == (503, "unavailable"), answer
            assert answer.headers["retry-after"]
            assert "127.0.0.1" not in answer.json["detail"]
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(one,)) for one in asks * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_postgres_is_away(own_stack: EmbeddedStack, tmp_path: Path) -> None:
    with opened(own_stack.database_url, own_stack.broker_url, tmp_path) as api:
        assert api.post("/v1/sagas", START).status == 201
        is_said(api, 200, "up", "up")

        own_stack.postgres.kill()
        all_refused(api)
        is_said(api, 503, "down", "up")
        assert api.get("/health/live").status == 200

        own_stack.postgres.start()
        assert api.post("/v1/sagas", START).status == 201, "at once, on the first connection"
        is_said(api, 200, "up", "up")

        own_stack.postgres.restart(immediate=True)
        for _ in range(5):
            assert api.get("/v1/sagas").status == 200


def test_postgres_hangs(own_stack: EmbeddedStack, tmp_path: Path) -> None:
    with opened(own_stack.database_url, own_stack.broker_url, tmp_path) as api:
        assert api.post("/v1/sagas", START).status == 201
        with frozen(own_stack.postgres.pid):
            all_refused(api)
            is_said(api, 503, "down", "up")
        until(lambda: api.post("/v1/sagas", START).status == 201, "it works again")
        is_said(api, 200, "up", "up")


def test_redis_is_away(own_stack: EmbeddedStack, tmp_path: Path) -> None:
    """It holds no truth: what is started now, runs when it is back."""
    limit = 8.0
    more = {"SAGA_API_TIMEOUT": str(limit)}
    with opened(own_stack.database_url, own_stack.broker_url, tmp_path, **more) as api:

        def starts() -> bool:
            return timed(lambda: api.post("/v1/sagas", START), limit).status == 201

        own_stack.redis.kill()
        assert starts()
        is_said(api, 503, "up", "down")
        own_stack.redis.start()
        is_said(api, 200, "up", "up")
        with frozen(own_stack.redis.pid):
            assert starts()
            is_said(api, 503, "up", "down")
        assert starts()


def test_a_database_that_was_never_migrated(empty_database_url: str, tmp_path: Path) -> None:
    with serving(empty_database_url, None, tmp_path / "server") as api:
        answer = api.with_token("x").get("/v1/sagas")
        assert (answer.status, answer.problem) == (503, "unavailable")
        assert "saga migrate" in answer.json["detail"]
        is_said(api, 503, "outdated", "not configured")


def test_one_token_asks_too_often(database_url: str, tmp_path: Path) -> None:
    limits = {"SAGA_API_RATE": "1", "SAGA_API_BURST": "5"}
    with opened(database_url, None, tmp_path, **limits) as api:
        assert [api.get("/v1/sagas").status for _ in range(5)] == [200] * 5

        def too_often() -> Answer | None:
            answer = api.get("/v1/sagas")
            return None if answer.status == 200 else answer

        answer = until(too_often, "it asks faster than it may")
        assert answer is not None
        assert (answer.status, answer.problem) == (429, "too-many-requests")
        time.sleep(int(answer.headers["retry-after"]))
        assert api.get("/v1/sagas").status == 200

        stranger = api.with_token("saga_x")
        assert [stranger.get("/v1/sagas").status for _ in range(3)][-1] == 429


def test_too_many_at_once(own_stack: EmbeddedStack, tmp_path: Path) -> None:
    with (
        opened(own_stack.database_url, None, tmp_path, SAGA_API_WAITING="3") as api,
        frozen(own_stack.postgres.pid),
    ):
        answers: list[Answer] = []
        threads = [
            threading.Thread(target=lambda: answers.append(timed(lambda: api.get("/v1/sagas"))))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [a.status for a in answers] == [503] * 6
        told = {a.json["detail"].partition(";")[0] for a in answers}
        late = f"no answer within {LIMIT:g} s"
        assert told == {"too many requests are under way", late}, "some at once, some in time"


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf"])
def test_limits_that_are_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from saga import InvalidInput
    from saga.operations.api import ApiSettings

    monkeypatch.setenv("SAGA_API_TIMEOUT", text)
    with pytest.raises(InvalidInput, match="SAGA_API_TIMEOUT: want a number above zero"):
        ApiSettings.from_environment("postgresql://", None)
