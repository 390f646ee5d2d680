"""Starting, listing, showing and waiting over HTTP."""

import threading
from typing import Any
from uuid import uuid4

from tests.api.conftest import Service, refused
from tests.live.http import Answer
from tests.live.processes import until
from tests.live.receiver import receiving


def test_a_saga_from_start_to_end(service: Service) -> None:
    api = service.as_("operator")
    started = api.post("/v1/sagas", {"name": "order", "input": {"item": "lamp", "amount": 2}})
    assert started.status == 201
    saga_id = started.json["id"]
    assert started.headers["location"] == f"/v1/sagas/{saga_id}"
    assert started.headers["cache-control"] == "no-store"
    assert started.json == {"id": saga_id, "name": "order", "key": None, "new": True}

    found = service.result_of(saga_id)
    assert (found.status, found.json["ended"]) == (200, True)
    assert found.json["result"] == {"reservation": "2 x lamp", "paid": 2}

    shown = api.get(f"/v1/sagas/{saga_id}").json
    assert [s["name"] for s in shown["steps"]] == ["reserve", "pay"]
    assert (shown["status"], shown["input"]) == ("completed", {"item": "lamp", "amount": 2})
    assert shown["exposed"] == {"reservation": "2 x lamp"}

    first = api.get(f"/v1/sagas/{saga_id}/history", limit=2).json
    rest = api.get(f"/v1/sagas/{saga_id}/history", after=first["next"]).json
    rows = first["transitions"] + rest["transitions"]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert (rows[0]["after"], rows[0]["actor"]) == ("running", "the-operator")
    assert (rows[-1]["after"], rest["next"]) == ("completed", None)

    effects = api.get(f"/v1/sagas/{saga_id}/effects").json["effects"]
    assert [(e["step"], e["outcome"], e["standing"]) for e in effects] == [
        ("reserve", "succeeded", True),
        ("pay", "succeeded", True),
    ]
    assert service.audited(saga_id) == [("the-operator", "start", False)]


def test_the_trace_context_of_a_request(service: Service) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = {"name": "order", "input": {"item": "lamp"}}
    for given, kept in ((trace, trace), ("nonsense", None)):
        answer = service.as_("operator").post("/v1/sagas", body, traceparent=given)
        found = service.rows("SELECT traceparent FROM saga.saga WHERE id = %s", answer.json["id"])
        assert found == [(kept,)]


def test_a_key_starts_one_saga(service: Service, key: str) -> None:
    body = {"name": "order", "input": {"item": "lamp"}}
    api = service.as_("operator")
    answers: list[Answer] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(api.post("/v1/sagas", body, Idempotency_Key=key))
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status for a in answers) == [200] * 5 + [201]
    assert len({a.json["id"] for a in answers}) == 1
    other = {"name": "order", "input": {"item": "chair"}}
    conflict = api.post("/v1/sagas", other, Idempotency_Key=key)
    assert (conflict.status, conflict.problem) == (409, "key-conflict")
    assert answers[0].json["id"] in conflict.json["detail"]
    found = api.get("/v1/sagas", name="order", key=key).json["sagas"]
    assert [row["id"] for row in found] == [answers[0].json["id"]]


def test_a_key_means_the_same_input_whoever_starts(service: Service, key: str) -> None:
    """A default that was left out is no other input, over HTTP as elsewhere."""
    begun = service.client.start("order", key=key, item="lamp")
    body = {"name": "order", "input": {"amount": 1, "item": "lamp"}}
    again = service.as_("operator").post("/v1/sagas", body, Idempotency_Key=key)
    assert (again.status, again.json["id"]) == (200, str(begun.id))
    assert service.client.start("order", key=key, item="lamp", amount=1).id == begun.id


def test_what_cannot_be_started(service: Service) -> None:
    api = service.as_("operator")
    unknown = api.post("/v1/sagas", {"name": "ordr"})
    refused(unknown, 422, "name")
    assert unknown.problem == "unknown-saga"
    assert "did you mean order" in unknown.json["detail"]
    for given, field in (
        ({"item": "lamp", "amonut": 2}, "input.amonut"),
        ({"amount": 2}, "input.item"),
        ({"item": ["lamp"]}, "input.item"),
    ):
        refused(api.post("/v1/sagas", {"name": "order", "input": given}), 422, field)
    version = api.post("/v1/sagas", {"name": "order", "version": 9, "input": {"item": "x"}})
    refused(version, 422, "name")
    callback = {"name": "order", "input": {"item": "x"}, "callback": "file:///etc/passwd"}
    refused(api.post("/v1/sagas", callback), 422, "callback")


def test_lists_are_paged_and_filtered(service: Service) -> None:
    api, batch = service.as_("operator"), uuid4().hex
    ids: list[str] = []
    for number in range(5):
        attributes = {"batch": batch, "number": number, "big": number > 2}
        body = {"name": "order", "input": {"item": "x"}, "attributes": attributes}
        ids.append(api.post("/v1/sagas", body).json["id"])
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = api.get("/v1/sagas", attribute=f"batch={batch}", limit=2, **cursor).json
        seen += [row["id"] for row in page["sagas"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == ids[::-1]
    both = [f"batch={batch}", "big=true"]
    assert len(api.get("/v1/sagas", attribute=both).json["sagas"]) == 2
    assert api.get("/v1/sagas", attribute=f"batch={batch}", name="parcel").json["sagas"] == []
    for saga_id in ids:
        service.reaches(saga_id, "completed")
    running = api.get("/v1/sagas", attribute=f"batch={batch}", status=["running", "parked"])
    assert running.json["sagas"] == []
    done = api.get("/v1/sagas", attribute=f"batch={batch}", status="completed", since="1h")
    assert len(done.json["sagas"]) == 5


def test_waiting_for_a_result(service: Service) -> None:
    api = service.as_("operator")
    saga_id = service.start("parcel", number=1)
    waiting = api.get(f"/v1/sagas/{saga_id}/result", wait=0.2)
    assert (waiting.status, waiting.json["status"]) == (202, "running")
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(service.result_of(saga_id)))
    thread.start()
    for at in ("depot", "door"):
        api.post(f"/v1/sagas/{saga_id}/signals", {"name": "seen", "payload": at})
    thread.join()
    assert (answers[0].status, answers[0].json["result"]) == (200, ["depot", "door"])


def test_a_failure_is_told(service: Service) -> None:
    saga_id = service.start("order", item="ship", amount=2000)
    service.approval_of(saga_id)
    assert service.as_("approver").post(f"/v1/sagas/{saga_id}/approve").status == 200
    found = service.result_of(saga_id, "viewer")
    assert (found.status, found.json["status"]) == (200, "compensated")
    assert found.json["error"]["message"] == "too much"
    assert found.json["result"] is None


def test_a_callback_is_made(service: Service) -> None:
    with receiving() as receiver:
        api = service.as_("operator")
        body = {"name": "order", "input": {"item": "x"}, "callback": receiver.url}
        saga_id = api.post("/v1/sagas", body).json["id"]
        until(lambda: receiver.received, "the callback arrives")
        assert receiver.received[0].is_signed()
        assert receiver.received[0].message["data"]["id"] == saga_id

        def callbacks() -> list[dict[str, object]]:
            return api.get(f"/v1/sagas/{saga_id}/callbacks").json["callbacks"]

        until(lambda: callbacks()[0]["state"] == "delivered", "it is noted")
        (made,) = callbacks()
        assert (made["status"], made["response"], made["attempts"]) == ("completed", 204, 1)
        of_all = api.get("/v1/callbacks", state="delivered", limit=1000).json["callbacks"]
        assert made in of_all
        assert made not in api.get("/v1/callbacks", state=["due", "given_up"]).json["callbacks"]
        refused(api.get("/v1/callbacks", state="lost"), 422)

        again = api.post(f"/v1/sagas/{saga_id}/callbacks/{made['id']}/retry")
        assert again.status == 202
        until(lambda: len(receiver.received) == 2, "it is made again")
        assert receiver.received[1].id == receiver.received[0].id
        assert service.audited(saga_id)[-1] == ("the-operator", "retry callback", False)
        refused(api.post(f"/v1/sagas/{saga_id}/callbacks/{uuid4()}/retry"), 404)


def test_what_is_not_there(service: Service) -> None:
    api, nobody = service.as_("admin"), uuid4()
    for path in ("", "/history", "/effects", "/result", "/events", "/callbacks"):
        refused(api.get(f"/v1/sagas/{nobody}{path}"), 404)
    for path in ("/signals", "/approve", "/reject", "/cancel", "/retry", "/compensate/preview"):
        body = {"name": "x"} if path == "/signals" else None
        refused(api.post(f"/v1/sagas/{nobody}{path}", body), 404)
    refused(api.get("/v1/nothing"), 404)
    refused(api.raw("DELETE", "/v1/sagas"), 405)


def test_the_overview(service: Service) -> None:
    api = service.as_("viewer")
    queues = {row["queue"]: row for row in api.get("/v1/backlog").json["queues"]}
    assert queues["sagas"]["workers"] == 1
    # It may still be at a step of an earlier test.
    until(lambda: [w["steps"] for w in api.get("/v1/workers").json["workers"]] == [0], "it is idle")
    names = [d["name"] for d in api.get("/v1/definitions").json["definitions"]]
    assert names == ["appraisal", "fragile", "order", "parcel", "transfer"]
    assert isinstance(api.get("/v1/effects", limit=1, standing="true").json["effects"], list)
