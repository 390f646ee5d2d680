"""A server, a worker of `tests.live.shop`, and tokens: shared by the tests of a pytest process."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from saga import Client
from saga.operations.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.live.databases import fresh_database
from tests.live.http import Answer, Api
from tests.live.processes import shop_worker, until
from tests.live.receiver import SECRET
from tests.live.serving import make_tokens, serving


@dataclass(frozen=True, slots=True)
class Service:
    """What is under test."""

    api: Api
    client: Client
    database_url: str
    broker_url: str
    tokens: dict[str, str]
    log: Path

    def as_(self, role: str) -> Api:
        return self.api.with_token(self.tokens[role])

    def start(self, name: str, **arguments: Any) -> str:
        """Starts a saga; its id."""
        answer = self.as_("operator").post("/v1/sagas", {"name": name, "input": arguments})
        assert answer.status == 201, answer
        return answer.json["id"]

    def reaches(self, saga_id: str, status: str) -> Any:
        """Until the saga has come to this status; what `show` says then."""

        def shown() -> Any:
            found = self.as_("viewer").get(f"/v1/sagas/{saga_id}").json
            return found if found["status"] == status else None

        return until(shown, f"saga {saga_id} is {status}")

    def result_of(self, saga_id: str, role: str = "operator") -> Answer:
        """What `result` answers once the saga has ended. It waits for that as long as it may."""

        def ended() -> Answer | None:
            since = time.monotonic()
            answer = self.as_(role).get(f"/v1/sagas/{saga_id}/result", wait=9)
            if answer.status != 202:
                return answer
            assert time.monotonic() - since > 8, "it has not waited"
            return None

        found = until(ended, f"saga {saga_id} ends")
        assert found is not None
        return found

    def approval_of(self, saga_id: str) -> None:
        """Until the saga waits for somebody to approve."""

        def waits() -> bool:
            steps = self.as_("viewer").get(f"/v1/sagas/{saga_id}").json["steps"]
            return any(s["kind"] == "approval" and s["state"] == "waiting" for s in steps)

        until(waits, f"saga {saga_id} waits for an approval")

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def audited(self, saga_id: str) -> list[tuple[Any, ...]]:
        """Who did what to a saga."""
        query = "SELECT actor, action, refused IS NOT NULL FROM saga.audit WHERE saga_id = %s"
        return self.rows(f"{query} ORDER BY id", saga_id)


@pytest.fixture(scope="session")
def service(
    postgres: EmbeddedPostgres,
    redis_server: EmbeddedRedis,
    _template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[Service]:
    folder = tmp_path_factory.mktemp("service")
    broker_url = redis_server.url_of(0)
    hooks = {"SAGA_WEBHOOK_SECRET": SECRET, "SAGA_WEBHOOK_ALLOW": "127.0.0.1"}
    limits = {"SAGA_API_RATE": "10000", "SAGA_API_BURST": "10000"}
    with (
        fresh_database(postgres, _template) as database_url,
        shop_worker(database_url, broker_url, folder / "worker", **hooks),
        serving(database_url, broker_url, folder / "server", **limits) as api,
    ):
        client = Client(database_url, broker_url)
        tokens = make_tokens(database_url)
        yield Service(api, client, database_url, broker_url, tokens, folder / "server")
        client.close()


@pytest.fixture
def key() -> str:
    """A key that nothing else has used."""
    return uuid4().hex


def refused(answer: Answer, status: int, *fields: str) -> None:
    """The answer is a problem of that status which names these fields."""
    assert answer.status == status, answer
    assert set(fields) <= set(answer.fields), answer
