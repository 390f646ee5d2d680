"""What whoever is called at night asks: which, how many, why, and then many at once."""

import re
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.conftest import Service, refused
from tests.live.http import Api


def ask_for(service: Service, batch: str, *amounts: int) -> list[str]:
    """Orders that wait for an approval, each with its amount as an attribute."""
    found: list[str] = []
    for amount in amounts:
        body = {
            "name": "order",
            "input": {"item": "lamp", "amount": 500 + amount},
            "attributes": {"batch": batch, "amount": amount},
        }
        found.append(service.as_("operator").post("/v1/sagas", body).json["id"])
    for saga_id in found:
        service.approval_of(saga_id)
    return found


def of(batch: str, *more: str) -> dict[str, Any]:
    return {"attribute": [f"batch={batch}", *more]}


@pytest.mark.parametrize(
    ("path", "field", "hint"),
    [
        ("/v1/sagas?stauts=failed", "query.stauts", "did you mean status?"),
        ("/v1/approvals?saga=x", "query.saga", "did you mean saga_id or saga_name?"),
        ("/v1/backlog?x=1", "query.x", "there are none here"),
        (f"/v1/sagas/{UUID(int=7)}?payloads=1", "query.payloads", "there are cursor"),
        ("/v1/workers?colour=1", "query.colour", "there are ended, limit"),
    ],
)
def test_a_parameter_that_is_not_known_is_refused(
    service: Service, path: str, field: str, hint: str
) -> None:
    answer = service.as_("viewer").get(path)
    refused(answer, 422, field)
    assert hint in answer.json["detail"]
    assert service.api.get(path).status == 401  # strangers learn nothing from it


def test_where_things_are(service: Service) -> None:
    found = service.api.get("/").json
    for name in ("docs", "openapi"):
        assert service.api.get(found[name]).status == 200
    page = service.api.get(found["docs"])
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy  # nothing comes from elsewhere
    text = page.body.decode()
    assert "<script>" not in text
    assert "style=" not in text
    assets = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(assets) == 4
    for asset in assets:
        answer = service.api.get(f"/{asset}")
        assert (answer.status, "://" in asset) == (200, False)
        assert answer.headers["x-content-type-options"] == "nosniff"
    bundle = service.api.get("/docs/swagger-ui-bundle.js")
    assert len(bundle.body) > 500_000
    assert bundle.headers["content-type"].startswith("text/javascript")
    assert "unsafe" not in service.api.get("/health").headers["content-security-policy"]


def test_why_and_how_many(service: Service) -> None:
    batch = uuid4().hex
    one, _ = ask_for(service, batch, 1, 2)
    api = service.as_("viewer")
    told = api.get(f"/v1/sagas/{one}/why").json
    assert (told["id"], told["reasons"][0]["kind"]) == (one, "approval")
    assert told["answer"].startswith("It waits for an approval: large order")
    assert api.get(f"/v1/sagas/{uuid4()}/why").status == 404
    counted = api.get("/v1/stats", by=["name", "step"], **of(batch)).json["counts"]
    assert counted == [
        {
            "status": None,
            "name": "order",
            "step": "large order",
            "error": None,
            "queue": None,
            "count": 2,
        }
    ]
    refused(api.get("/v1/stats", by="colour"), 422, "query.by.0")


def test_the_whole_filter(service: Service) -> None:
    batch = uuid4().hex
    small, large = ask_for(service, batch, 1, 20)
    api = service.as_("viewer")

    def ids(*more: str, **query: str) -> list[str]:
        asked: dict[str, Any] = of(batch, *more) | query
        answer = api.get("/v1/sagas", **asked)
        assert answer.status == 200, answer
        return [row["id"] for row in answer.json["sagas"]]

    assert ids("amount>=20") == [large]
    assert ids("amount<20", waits_for="approval:large order") == [small]
    assert ids(older_than="1h") == []
    assert ids(until="2020-01-01") == []
    assert ids(step="large order", since="1h") == [large, small]
    waiting = api.get("/v1/approvals", saga_name="order", **of(batch)).json["approvals"]
    assert [row["saga_id"] for row in waiting] == [small, large]
    assert api.get("/v1/blocked", **of(batch)).json == {
        "blocked": [],
        "next": None,
        "stranded": [],
    }
    refused(api.get("/v1/sagas", older_than="2026-01-01"), 422, "query.older_than")
    refused(api.get("/v1/sagas", attribute="amount>=true"), 422, "query.attribute")


def act(api: Api, action: str, batch: str, **body: Any) -> Any:
    answer = api.post(f"/v1/bulk/{action}", {"filter": of(batch), "limit": 10, **body})
    assert answer.status == 200, answer
    return answer.json


def test_many_at_once(service: Service) -> None:
    """A dry run, a few first, then all; each is audited by itself."""
    batch = uuid4().hex
    one, two, three = ask_for(service, batch, 1, 2, 3)
    approver, operator = service.as_("approver"), service.as_("operator")
    would = act(approver, "approve", batch, dry_run=True)
    assert [place["id"] for place in would["would"]] == [one, two, three]
    assert would["done"] == []
    canary = act(approver, "approve", batch, limit=1, approval="large order", reason="fine")
    assert [place["id"] for place in canary["done"]] == [one]
    assert service.result_of(one).status == 200
    assert [place["id"] for place in act(operator, "cancel", batch)["done"]] == [three, two]
    for saga_id in (two, three):
        service.reaches(saga_id, "cancelled")
        assert ("the-operator", "cancel", False) in service.audited(saga_id)
    undone = act(operator, "compensate", batch, reason="a mistake")
    assert [place["id"] for place in undone["done"]] == [one]
    service.reaches(one, "compensated")
    assert act(operator, "retry", batch) == {
        "done": [],
        "refused": [],
        "would": [],
        "stopped": False,
    }


def test_many_at_once_stop_at_what_is_refused(service: Service) -> None:
    batch = uuid4().hex
    one, two = ask_for(service, batch, 1, 2)
    operator = service.as_("operator")
    body = {"status": ["running", "cancelled"], **of(batch)}
    service.client.cancel(UUID(two))
    service.reaches(two, "cancelled")
    stopped = operator.post("/v1/bulk/cancel", {"filter": body, "limit": 10}).json
    assert ([r["type"] for r in stopped["refused"]], stopped["stopped"]) == (["SagaEnded"], True)
    going = {"filter": body, "limit": 10, "keep_going": True}
    assert [p["id"] for p in operator.post("/v1/bulk/cancel", going).json["done"]] == [one]


def test_what_is_no_selection_is_refused(service: Service) -> None:
    operator = service.as_("operator")
    refused(operator.post("/v1/bulk/cancel", {"filter": {}, "limit": 1}), 422, "filter")
    refused(operator.post("/v1/bulk/cancel", {"filter": {"name": "x"}}), 422, "limit")
    strange = {"filter": {"nmae": "x"}, "limit": 1}
    refused(operator.post("/v1/bulk/cancel", strange), 422, "filter.nmae")
    since = {"filter": {"since": "soon"}, "limit": 1}
    refused(operator.post("/v1/bulk/cancel", since), 422, "filter.since")
    named = {"filter": {"name": "order"}, "limit": 1}
    assert operator.post("/v1/bulk/approve", named).status == 403
    assert service.as_("viewer").post("/v1/bulk/retry", named).status == 403
