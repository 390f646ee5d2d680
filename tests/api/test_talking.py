"""Signals, approvals, and what operators do, over HTTP."""

from typing import Any

from tests.api.conftest import Service, refused
from tests.live.processes import until


def test_signals(service: Service, key: str) -> None:
    api, saga_id = service.as_("operator"), service.start("parcel", number=1)
    path = f"/v1/sagas/{saga_id}/signals"
    body = {"name": "seen", "payload": {"at": "ä"}}
    assert api.post(path, body, Idempotency_Key=key).status == 201
    twin = api.post(path, body, Idempotency_Key=key)
    assert (twin.status, twin.json) == (200, {"new": False})
    assert api.post(path, {"name": "seen"}).json == {"new": True}
    found = service.result_of(saga_id).json
    assert found["result"] == [{"at": "ä"}, None]
    late = api.post(path, {"name": "seen"})
    refused(late, 409)
    assert late.problem == "ended"
    signals = [row for row in service.audited(saga_id) if row[1] == "signal"]
    assert signals == [("the-operator", "signal", False)] * 2


def test_an_approval_is_given_once(service: Service) -> None:
    api, saga_id = service.as_("approver"), service.start("order", item="x", amount=500)
    service.approval_of(saga_id)
    refused(api.post(f"/v1/sagas/{saga_id}/approve", {"name": "another"}), 409)
    answer = api.post(f"/v1/sagas/{saga_id}/approve", {"reason": "fine", "name": "large order"})
    assert answer.json == {"approved": True, "by": "the-approver", "position": 2}
    refused(api.post(f"/v1/sagas/{saga_id}/reject"), 409)
    service.reaches(saga_id, "completed")
    assert service.audited(saga_id) == [
        ("the-operator", "start", False),
        ("the-approver", "approve", True),
        ("the-approver", "approve", False),
        ("the-approver", "reject", True),
    ]


def test_an_approval_is_answered_as_it_was_seen(service: Service) -> None:
    """List, decide by position, click twice: the second click answers what the first did."""
    api, saga_id = service.as_("approver"), service.start("order", item="y", amount=700)
    service.approval_of(saga_id)
    page = api.get("/v1/approvals", saga_id=saga_id, name="large order", saga_name="order").json
    (seen,) = page["approvals"]
    assert (seen["saga_id"], seen["details"], page["next"]) == (saga_id, {"item": "y"}, None)
    decision = {"position": seen["position"], "reason": "fine"}
    refused(api.post(f"/v1/sagas/{saga_id}/approve", {"position": 1}), 409)
    refused(api.post(f"/v1/sagas/{saga_id}/approve", {"position": 0}), 422, "position")
    answers = [api.post(f"/v1/sagas/{saga_id}/approve", decision) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert [answer.json["position"] for answer in answers] == [2] * 3
    other = api.post(f"/v1/sagas/{saga_id}/reject", decision)
    refused(other, 409)
    assert "was approved by the-approver already" in other.json["detail"]
    service.reaches(saga_id, "completed")
    assert api.get("/v1/approvals", saga_id=saga_id).json == {"approvals": [], "next": None}


def test_open_approvals_in_pages(service: Service) -> None:
    api = service.as_("viewer")
    wanted: dict[str, Any] = {"name": "large order", "limit": 2}
    started = {service.start("order", item=str(n), amount=500) for n in range(3)}
    for saga_id in started:
        service.approval_of(saga_id)
    seen: list[str] = []
    page = api.get("/v1/approvals", **wanted).json
    while page["next"]:
        seen += [row["saga_id"] for row in page["approvals"]]
        page = api.get("/v1/approvals", **wanted, cursor=page["next"]).json
    seen += [row["saga_id"] for row in page["approvals"]]
    assert started <= set(seen)
    assert len(seen) == len(set(seen))
    refused(api.get("/v1/approvals", cursor="nonsense"), 422)
    for saga_id in started:
        service.as_("operator").post(f"/v1/sagas/{saga_id}/cancel")


def test_a_rejection_undoes(service: Service) -> None:
    saga_id = service.start("order", item="x", amount=500)
    service.approval_of(saga_id)
    assert service.as_("approver").post(f"/v1/sagas/{saga_id}/reject").status == 200
    shown = service.reaches(saga_id, "compensated")
    assert [s["name"] for s in shown["steps"] if s["undo"]] == ["release"]


def test_a_cancel_undoes(service: Service) -> None:
    api, saga_id = service.as_("operator"), service.start("order", item="x", amount=500)
    service.approval_of(saga_id)
    answer = api.post(f"/v1/sagas/{saga_id}/cancel", {"reason": "changed my mind"})
    assert (answer.status, answer.json["id"]) == (202, saga_id)
    service.reaches(saga_id, "cancelled")
    refused(api.post(f"/v1/sagas/{saga_id}/cancel"), 409)
    assert service.audited(saga_id)[1:] == [
        ("the-operator", "cancel", False),
        ("the-operator", "cancel", True),
    ]


def test_a_completed_saga_is_compensated_by_hand(service: Service) -> None:
    api, saga_id = service.as_("operator"), service.start("order", item="x", amount=3)
    service.reaches(saga_id, "completed")
    preview = service.as_("viewer").post(f"/v1/sagas/{saga_id}/compensate/preview").json
    assert [(u["wave"], u["step"], u["undo"]) for u in preview["undos"]] == [
        (1, "pay", "pay_back"),
        (2, "reserve", "release"),
    ]
    assert preview["undos"][1]["args"] == {"item": "x", "amount": 3}
    assert (preview["undos"][0]["result"], preview["status"]) == (3, "compensated")
    partly = {"only": [2]}
    some = service.as_("viewer").post(f"/v1/sagas/{saga_id}/compensate/preview", partly).json
    assert ([u["step"] for u in some["undos"]], some["status"]) == (["pay"], "partly_compensated")
    assert [s["step"] for s in some["stands"]] == ["reserve"]

    refused(api.post(f"/v1/sagas/{saga_id}/compensate", {}), 422, "reason")
    refused(api.post(f"/v1/sagas/{saga_id}/compensate", {"reason": "x", "only": [9]}), 422, "only")
    assert api.post(f"/v1/sagas/{saga_id}/compensate", {"reason": "as asked"}).status == 202
    service.reaches(saga_id, "compensated")
    refused(api.post(f"/v1/sagas/{saga_id}/compensate", {"reason": "again"}), 409)


def test_what_has_not_failed_is_not_retried(service: Service) -> None:
    api, saga_id = service.as_("operator"), service.start("parcel", number=1)
    refused(api.post(f"/v1/sagas/{saga_id}/retry"), 409)
    resolve = f"/v1/sagas/{saga_id}/steps/1/resolve"
    refused(api.post(resolve, {"action": "skip"}), 422, "reason")
    refused(api.post(resolve, {"action": "forget"}), 422, "action")
    until(lambda: api.get(f"/v1/sagas/{saga_id}").json["steps"], "it waits")
    refused(api.post(resolve, {"action": "retry"}), 409)
    refused(api.post(f"/v1/sagas/{saga_id}/steps/0/resolve", {"action": "retry"}), 422)
    assert api.get("/v1/blocked").json == {"blocked": [], "next": None, "stranded": []}


def test_what_was_done_by_hand_is_of_the_steps_type(service: Service) -> None:
    """The server has no code; a result of another type would park the saga for good."""
    api, saga_id = service.as_("operator"), service.start("transfer", amount=1)

    def is_blocked() -> bool:
        rows = api.get("/v1/blocked").json["blocked"]
        return any(row["saga_id"] == saga_id for row in rows)

    until(is_blocked, "a person must decide")
    resolve = f"/v1/sagas/{saga_id}/steps/1/resolve"
    for wrong in ({}, {"result": None}, {"result": [7]}):
        answer = api.post(resolve, {"action": "done"} | wrong)
        refused(answer, 422, "result")
        assert answer.json["detail"].startswith("result: want integer, not ")
    assert api.post(resolve, {"action": "done", "result": 7}).status == 202
    assert service.reaches(saga_id, "completed")["result"] == 7


def test_a_failed_saga_is_retried(service: Service, key: str) -> None:
    """The step has failed for good and nothing was to be undone: it goes on where it stopped."""
    api, saga_id = service.as_("operator"), service.start("fragile", until=key)
    service.reaches(saga_id, "failed")
    assert api.post(f"/v1/sagas/{saga_id}/retry", {"reason": "it was the network"}).status == 202
    service.reaches(saga_id, "completed")
