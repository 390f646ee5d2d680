"""Real sagas with every process under a role that has what `saga grants` gives it, and no more."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from saga import Client
from saga.storage.grants import API, MIGRATOR, STARTER, WORKER, grants
from saga.storage.migrate import migrate
from tests.cli.commands import run
from tests.live.http import Answer
from tests.live.processes import shop_worker, until
from tests.live.receiver import SECRET, receiving, status
from tests.live.serving import make_tokens, serving

READS = """
/v1/sagas /v1/sagas/{} /v1/sagas/{}/why /v1/sagas/{}/history /v1/sagas/{}/effects /metrics
/v1/sagas/{}/tracebacks /v1/sagas/{}/callbacks /v1/sagas/{}/result /v1/stats /v1/blocked
/v1/approvals /v1/effects /v1/callbacks /v1/backlog /v1/workers /v1/definitions /v1/audit
"""
DENIED = {
    STARTER: ["SELECT FROM saga.saga", "SELECT FROM saga.lead", "SELECT FROM saga.token"],
    WORKER: ["SELECT FROM saga.token", "DELETE FROM saga.saga", "UPDATE saga.history SET seq = 1"],
    API: [
        "UPDATE saga.worker SET name = 'x'",
        "SELECT FROM saga.lead",
        "INSERT INTO saga.token (name) VALUES ('x')",
        "DELETE FROM saga.audit",
        "UPDATE saga.history SET actor = 'x'",
    ],
}


@pytest.fixture
def urls(empty_database_url: str) -> Generator[dict[str, str]]:
    """One for each role; the schema is the migrator's own."""
    with psycopg.connect(empty_database_url, autocommit=True) as owner:
        suffix = owner.execute("SELECT current_database()").fetchone()
        assert suffix is not None
        roles = {kind: f"{kind} of {suffix[0]}" for kind in (MIGRATOR, WORKER, API, STARTER)}
        for role in roles.values():
            owner.execute(f"""CREATE ROLE "{role}" LOGIN PASSWORD 'x'""".encode())
        made = {kind: as_url(empty_database_url, role) for kind, role in roles.items()}
        try:
            owner.execute(grants({MIGRATOR: roles.pop(MIGRATOR)}).encode())
            migrate(made[MIGRATOR])
            with psycopg.connect(made[MIGRATOR], autocommit=True) as migrator:
                for _ in range(2):  # it may be run again
                    migrator.execute(grants(roles).encode())
            yield made
        finally:
            for kind in made:
                role = f"{kind} of {suffix[0]}"
                owner.execute(f'DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"'.encode())


def as_url(url: str, role: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{role.replace(' ', '%20')}:x@{rest.rpartition('@')[2]}"


def test_sagas_run(urls: dict[str, str], broker_url: str, tmp_path: Path) -> None:
    hooks = {"SAGA_WEBHOOK_SECRET": SECRET, "SAGA_WEBHOOK_ALLOW": "127.0.0.1"}
    with (
        receiving(status(500)) as receiver,
        shop_worker(
            urls[WORKER], broker_url, tmp_path / "worker", "--autoscale", "4,1", **hooks
        ) as worker,
        serving(urls[API], broker_url, tmp_path / "server") as api,
        Client(urls[API], broker_url) as client,
        psycopg.connect(urls[STARTER], autocommit=True) as starter,
    ):
        admin = api.with_token(make_tokens(urls[MIGRATOR])["admin"])

        def done(answer: Answer) -> Any:
            assert answer.status in (200, 201, 202), (answer, worker.output[-2000:])
            return answer.json

        def started(name: str, callback: str | None = None, **given: Any) -> str:
            asked = {"name": name, "input": given, "callback": callback, "attributes": {"a": 1}}
            return done(admin.post("/v1/sagas", asked))["id"]

        def comes_to(saga_id: str, status: str) -> None:
            def shown() -> Any:
                return admin.get(f"/v1/sagas/{saga_id}").json

            until(lambda: shown()["status"] == status, f"{status}", describe=lambda: worker.output)

        # in SQL
        row = starter.execute("""SELECT saga.start('parcel', '{"number": 1}', 'k')""").fetchone()
        assert row is not None
        for _ in range(2):
            starter.execute("SELECT saga.signal(saga.find('parcel', 'k'), 'seen', '1')")
        assert client.handle(row[0]).result(timeout=60) == [1, 1]
        assert starter.execute("SELECT status FROM saga.standing(%s)", row).fetchone() == (
            "completed",
        )
        # over HTTP: undone by a failure, by hand, by a cancel; an approval; what is blocked
        failed = started("order", receiver.url, item="x", amount=5000)
        approved, cancelled = (started("order", item="y", amount=500) for _ in range(2))
        for saga_id in (failed, approved, cancelled):
            until(lambda: admin.get("/v1/approvals", saga_id=saga_id).json["approvals"], "asked")  # noqa: B023
        done(admin.post(f"/v1/sagas/{failed}/approve"))
        done(admin.post(f"/v1/sagas/{approved}/approve"))
        done(admin.post(f"/v1/sagas/{cancelled}/cancel"))
        comes_to(failed, "compensated")
        comes_to(approved, "completed")
        comes_to(cancelled, "cancelled")
        done(admin.post(f"/v1/sagas/{approved}/compensate/preview", {}))
        done(admin.post(f"/v1/sagas/{approved}/compensate", {"reason": "x"}))
        comes_to(approved, "compensated")
        fragile = started("fragile", until="there")
        comes_to(fragile, "failed")
        done(admin.post(f"/v1/sagas/{fragile}/retry"))
        comes_to(fragile, "completed")
        transfer = started("transfer", amount=1)
        until(lambda: admin.get("/v1/blocked", saga_id=transfer).json["blocked"], "it is blocked")
        done(admin.post(f"/v1/sagas/{transfer}/steps/1/resolve", {"action": "done", "result": 1}))
        comes_to(transfer, "completed")
        # callbacks, reads, and the client
        until(lambda: receiver.received, "it is called back")
        (callback,) = admin.get(f"/v1/sagas/{failed}/callbacks").json["callbacks"]
        done(admin.post(f"/v1/sagas/{failed}/callbacks/{callback['id']}/retry"))
        until(lambda: len(receiver.received) > 1, "it is called back again")
        for path in READS.split():
            assert admin.get(path.format(failed)).status == 200, path
        assert client.start("order", item="z").result(timeout=60)["paid"] == 1
        assert client.list().rows
        assert "permission denied" not in worker.output
        assert "permission denied" not in (tmp_path / "server").read_text()


def test_and_nothing_else_is_allowed(urls: dict[str, str]) -> None:
    for kind, statements in DENIED.items():
        with psycopg.connect(urls[kind], autocommit=True) as connection:
            for statement in statements:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())


def test_they_are_printed() -> None:
    printed = run("grants", "--starter", 'o"dd', "--worker", "w").stdout
    assert 'GRANT USAGE ON SCHEMA saga TO "o""dd";' in printed
    assert 'GRANT SELECT, UPDATE ON saga.lead TO "w";' in printed
    assert "saga_api" not in printed
    everything = run("grants", "--json").json["sql"]
    assert all(f"saga_{kind}" in everything for kind in (MIGRATOR, WORKER, API, STARTER))
