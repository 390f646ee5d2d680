"""Tokens and what their roles may do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saga.operations.tokens import hashed
from tests.api.conftest import Service, refused
from tests.live.http import Answer, Api
from tests.live.processes import Process, until

READS = (
    "/v1/sagas",
    "/v1/sagas/{id}",
    "/v1/sagas/{id}/history",
    "/v1/sagas/{id}/effects",
    "/v1/sagas/{id}/result",
    "/v1/sagas/{id}/callbacks",
    "/v1/effects",
    "/v1/approvals",
    "/v1/blocked",
    "/v1/callbacks",
    "/v1/backlog",
    "/v1/workers",
    "/v1/definitions",
    "/metrics",
)
OPERATES: dict[str, Any] = {
    "/v1/sagas": {"name": "parcel", "input": {"number": 1}},
    "/v1/sagas/{id}/signals": {"name": "ping"},
    "/v1/sagas/{id}/retry": None,
    "/v1/sagas/{id}/steps/1/resolve": {"action": "retry"},
    "/v1/sagas/{id}/callbacks/{id}/retry": None,
    "/v1/sagas/{id}/compensate": {"reason": "x"},
    "/v1/sagas/{id}/cancel": None,
}
APPROVES = ("/v1/sagas/{id}/approve", "/v1/sagas/{id}/reject")


def requests(saga_id: str) -> dict[str, list[Callable[[Api], Answer]]]:
    """All that a token may be asked for, by what it takes."""

    def posting(path: str, body: Any) -> Callable[[Api], Answer]:
        return lambda api: api.post(path.format(id=saga_id), body)

    def getting(path: str) -> Callable[[Api], Answer]:
        return lambda api: api.get(path.format(id=saga_id))

    preview = posting("/v1/sagas/{id}/compensate/preview", None)
    return {
        "read": [*(getting(path) for path in READS), preview],
        "operate": [posting(path, body) for path, body in OPERATES.items()],
        "approve": [posting(path, None) for path in APPROVES],
        "administer": [getting("/v1/audit")],
    }


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", {"read"}),
        ("operator", {"read", "operate"}),
        ("approver", {"read", "approve"}),
        ("admin", {"read", "operate", "approve", "administer"}),
    ],
)
def test_a_role_may_do_this_and_no_more(service: Service, role: str, may: set[str]) -> None:
    saga_id = service.start("parcel", number=1)
    viewer = service.as_("viewer")
    until(lambda: viewer.get(f"/v1/sagas/{saga_id}").json["steps"], "it waits")
    before = service.audited(saga_id)
    for what, wanted in requests(saga_id).items():
        for request in wanted:
            answer = request(service.as_(role))
            if what in may:
                assert answer.status in (200, 201, 202, 404, 409), answer
            else:
                refused(answer, 403)
                assert f"the-{role}" in answer.json["detail"]
    if not may & {"operate", "approve"}:
        assert service.audited(saga_id) == before


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer saga_nobody",
        "Basic YTpi",
        "Bearer " + "x" * 5000,
        "Bearer \xff",
        "bearer' OR 1=1 --",
    ],
)
def test_without_a_valid_token_there_is_nothing(service: Service, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path in ("/v1/sagas", "/v1/audit"):
        answer = service.api.raw("GET", path, headers=headers)
        refused(answer, 401, "header.authorization")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_health_and_the_document_are_for_all(service: Service) -> None:
    for path in ("/health", "/health/live", "/openapi.json"):
        assert service.api.get(path).status == 200


def cli(service: Service, log: Path, *arguments: str) -> str:
    """What `saga token ...` prints."""
    environment = {"SAGA_DATABASE_URL": service.database_url}
    process = Process(["token", *arguments], environment, log)
    until(lambda: not process.is_running, "the command ends", describe=lambda: process.output)
    output = process.output
    log.unlink()
    return output.strip()


def test_the_life_of_a_token(service: Service, tmp_path: Path) -> None:
    log = tmp_path / "cli"
    token = cli(service, log, "create", "robot", "--role", "viewer", "--by", "ann")
    api = service.api.with_token(token)
    assert api.get("/v1/sagas").status == 200
    stored = service.rows("SELECT hash, hint FROM saga.token WHERE name = 'robot'")
    assert stored == [(hashed(token), token[:9])]
    assert token not in str(service.rows("SELECT * FROM saga.token"))

    listed = cli(service, log, "list")
    assert "robot" in listed
    assert token not in listed
    again = cli(service, log, "create", "robot", "--role", "admin")
    assert "there is a token named 'robot'" in again

    assert cli(service, log, "revoke", "robot", "--by", "ben") == "revoked"
    refused(api.get("/v1/sagas"), 401)
    assert "no token named 'robot' is in use" in cli(service, log, "revoke", "robot")
    trail = service.rows(
        "SELECT actor, action, details FROM saga.audit WHERE details ->> 'name' = 'robot'"
        " ORDER BY id"
    )
    assert trail == [
        ("ann", "create token", {"name": "robot", "role": "viewer"}),
        ("ben", "revoke token", {"name": "robot"}),
    ]


def test_a_token_that_has_expired(service: Service, tmp_path: Path) -> None:
    token = cli(service, tmp_path / "cli", "create", "brief", "--role", "viewer", "--expires", "1h")
    api = service.api.with_token(token)
    assert api.get("/v1/sagas").status == 200
    service.rows("UPDATE saga.token SET expires_at = now() WHERE name = 'brief' RETURNING 1")
    refused(api.get("/v1/sagas"), 401)


def test_the_audit_trail(service: Service) -> None:
    saga_id = service.start("parcel", number=1)
    service.as_("operator").post(f"/v1/sagas/{saga_id}/cancel", {"reason": "why not"})
    api = service.as_("admin")
    page = api.get("/v1/audit", saga_id=saga_id, limit=1).json
    (newest,) = page["actions"]
    assert (newest["actor"], newest["action"], newest["reason"]) == (
        "the-operator",
        "cancel",
        "why not",
    )
    older = api.get("/v1/audit", saga_id=saga_id, before=page["next"]).json
    assert [row["action"] for row in older["actions"]] == ["start"]
    assert api.get("/v1/audit", actor="nobody").json["actions"] == []
