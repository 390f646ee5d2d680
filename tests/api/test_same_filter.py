"""One filter: the command line, the HTTP API and clients find the same sagas by the same words."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from saga import Client, SagaFilter
from saga.core.states import FORWARD, SagaStatus, StepState
from saga.operations.embedded import EmbeddedPostgres
from saga.storage.migrate import sqlalchemy_url
from tests.cli.commands import run
from tests.live.databases import fresh_database
from tests.live.http import Api
from tests.live.serving import make_tokens, serving
from tests.storage.rows import Rows

DECLINED = {"type": "Declined", "message": "100% of it", "step": 1, "name": "pay"}


def fill(rows: Rows) -> None:
    """Sagas in every status, with attributes of every kind, at steps of every kind."""
    for number, status in enumerate(SagaStatus):
        for old in (False, True):
            saga_id = rows.saga(
                ("order", "parcel")[number % 2],
                status,
                age=timedelta(days=2) if old else timedelta(0),
                version=1 + number % 3,
                key=f"k{number}{old}" if number % 2 else None,
                attributes={"n": number, "text": str(number), "deep": {"old": old}},
                error=DECLINED if status in ("failed", "compensated") else None,
            )
            if status not in (*FORWARD, SagaStatus.PARTLY_COMPENSATED):
                continue
            blocked = status is SagaStatus.PARTLY_COMPENSATED
            state = StepState.BLOCKED if blocked else StepState.READY
            error: dict[str, Any] = {"error": {"type": "SMTP", "message": "450"}} if blocked else {}
            rows.step(saga_id, 1, state, name="pay", **error)
            if not blocked:
                rows.step(saga_id, 2, StepState.WAITING, kind="approval", name="big")


@dataclass(frozen=True)
class Ways:
    """Three ways to ask the same database."""

    database_url: str
    api: Api
    client: Client

    def by_api(self, wanted: dict[str, Any]) -> list[str]:
        query: dict[str, Any] = {"limit": 1000} | wanted
        answer = self.api.get("/v1/sagas", **query)
        assert answer.status == 200, answer
        return [row["id"] for row in answer.json["sagas"]]

    def by_cli(self, wanted: dict[str, Any]) -> list[str]:
        words: list[str] = []
        for name, value in wanted.items():
            option = f"--{name.replace('_', '-')}"
            words += [option if one is True else f"{option}={one}" for one in _each(value)]
        done = run("list", "--limit", "1000", "--json", *words, SAGA_DATABASE_URL=self.database_url)
        assert done.code == 0, done
        return [row["id"] for row in done.json["sagas"]]

    def by_client(self, wanted: dict[str, Any]) -> list[str]:
        found = as_filter(wanted)
        rows = self.client.list(found, limit=1000).rows
        assert self.client.count(found) == len(rows)
        assert sum(kind.count for kind in self.client.stats(found, ["name", "status"])) == len(rows)
        return [str(row.id) for row in rows]

    def by_bulk(self, wanted: dict[str, Any]) -> list[str]:
        body = {"filter": wanted, "limit": 1000, "dry_run": True}
        answer = self.api.post("/v1/bulk/retry", body)
        assert answer.status == 200, answer
        return [one["id"] for one in answer.json["would"]]


def as_filter(wanted: dict[str, Any]) -> SagaFilter:
    named = {"status": "statuses", "attribute": "attributes"}
    return SagaFilter(**{named.get(name, name): value for name, value in wanted.items()})


@pytest.fixture(scope="module")
def ways(
    postgres: EmbeddedPostgres, _template: str, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Ways]:
    limits = {"SAGA_API_RATE": "10000", "SAGA_API_BURST": "10000"}
    folder = tmp_path_factory.mktemp("filters")
    with fresh_database(postgres, _template) as url:
        engine = create_engine(sqlalchemy_url(url), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            fill(Rows(connection))
        engine.dispose()
        token = make_tokens(url)["operator"]
        # No broker: nothing is sent, and nothing is done.
        with serving(url, None, folder / "server", **limits) as api, Client(url) as client:
            yield Ways(url, api.with_token(token), client)


ATTRIBUTES = ["n=3", "n>=3", "n<5", "n>100", "text=3", 'text="3"', 'text>"4"', 'deep={"old": true}']
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["order", "parcel", "nothing"]),
        "status": st.lists(st.sampled_from([s.value for s in SagaStatus]), min_size=1, max_size=4),
        "version": st.integers(1, 3),
        "key": st.sampled_from(["k1True", "k3False", "k9"]),
        "step": st.sampled_from(["pay", "big", "mail"]),
        "error": st.sampled_from(["declined", "100%", "smtp: 450", "_", "d*ed"]),
        "waits_for": st.sampled_from(
            ["approval", "approval:big", "big", "worker", "unknown", "person"]
        ),
        "roots": st.just(value=True),
        "since": st.sampled_from(["1d", "3d", "2020-01-01"]),
        "until": st.sampled_from(["1d", "2020-01-01"]),
        "older_than": st.sampled_from(["1d", "3d"]),
        "attribute": st.lists(st.sampled_from(ATTRIBUTES), min_size=1, max_size=2),
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=WANTED)
def test_all_ways_find_the_same(ways: Ways, wanted: dict[str, Any]) -> None:
    found = ways.by_client(wanted)
    assert ways.by_api(wanted) == found
    assert ways.by_cli(wanted) == found
    if "status" in wanted:
        assert ways.by_bulk(wanted) == found


def test_some_find_something(ways: Ways) -> None:
    """Lest all agree on nothing."""
    for field, wanted in {
        "attribute": ["n>=3", "n<5"],
        "error": "SMTP: 450",
        "key": "k3False",
        "older_than": "1d",
        "step": "pay",
        "waits_for": "approval:big",
    }.items():
        assert ways.by_client({field: wanted}), field


@pytest.mark.parametrize(
    "wrong",
    [
        {"since": "soon"},
        {"until": "2026-13-01"},
        {"older_than": "2026-01-01"},
        {"attribute": ["amount"]},
        {"attribute": ["a>=null"]},
        {"status": ["done"]},
    ],
    ids=str,
)
def test_all_ways_refuse_the_same(ways: Ways, wrong: dict[str, Any]) -> None:
    (field,) = wrong
    with pytest.raises(ValueError, match=f"^{field}: "):
        ways.client.list(as_filter(wrong))
    answer = ways.api.get("/v1/sagas", **wrong)
    assert answer.status == 422
    assert answer.fields[0].startswith(f"query.{field}")
    words = [f"--{field.replace('_', '-')}={value}" for value in _each(wrong[field])]
    done = run("list", *words, "--json", SAGA_DATABASE_URL=ways.database_url)
    assert (done.code, f"--{field.replace('_', '-')}" in done.error["message"]) == (2, True)


def _each(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]
