"""Bad input gets a clear 4xx, and nothing of it is stored."""

import http.client
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.api.conftest import Service, refused

NAUGHTY = [
    "'; DROP TABLE saga.saga; --",
    "1' OR '1'='1",
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "http://169.254.169.254/latest/meta-data/",
    "../../etc/passwd",
    "\u202egnp.exe",
    "\x1b[2J\x1b[1;1H",
    "a\r\nSet-Cookie: x=y",
    "\ufeff\ufffe\uffff",
    "Ω≈ç√∫µ≤≥÷",
    "田中さん",
    "👩‍👩‍👧‍👦",
    "%s%n%x",
    "NULL",
    " " * 50,
    "-1",
    "1e309",
    "$(reboot)`reboot`",
]

DEEP = "[" * 100_000 + "]" * 100_000


def counts(service: Service) -> list[tuple[Any, ...]]:
    # Not history: sagas of earlier tests still write theirs, and none can be without its saga.
    return service.rows(
        "SELECT (SELECT count(*) FROM saga.saga), (SELECT count(*) FROM saga.signal),"
        " (SELECT count(*) FROM saga.audit)"
    )


@pytest.mark.parametrize(
    ("value", "status", "field"),
    [
        ("NaN", 400, "input.item"),
        ("Infinity", 400, "input.item"),
        ("-Infinity", 400, "input.item"),
        ("1e400", 400, "input.item"),
        ("-1e400", 400, "input.item"),
        (r'"\u0000"', 400, "input.item"),
        (r'"a\u0000b"', 400, "input.item"),
        (r'"\ud800"', 400, "input.item"),
        (r'"\udfff\ud800"', 400, "input.item"),
        (r'{"\u0000": 1}', 400, r"input.item.\x00"),
        ('{"a": 1, "a": 2}', 400, "input.item.a"),
        (DEEP, 400, "body"),
        ("[" * 200 + "]" * 200, 400, "body"),
        ("9" * 5000, 400, "body"),
        ("1,", 400, "body"),
        ("'x'", 400, "body"),
        ("01", 400, "body"),
        ("1 // comment", 400, "body"),
        ('"\x01"', 400, "body"),
        ('"\ttab"', 400, "body"),
        ("\ufeff1", 400, "body"),
        ('"' + "x" * 1_000_001 + "é" * 50_000 + '"', 413, None),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "backslashreplace").decode(),
)
def test_json_that_cannot_be_stored(
    service: Service, value: str, status: int, field: str | None
) -> None:
    text = f'{{"name": "order", "input": {{"item": {value}}}}}'
    before = counts(service)
    for path, body in (
        ("/v1/sagas", text),
        (f"/v1/sagas/{uuid4()}/signals", f'{{"name": "seen", "input": {{"item": {value}}}}}'),
    ):
        answer = service.as_("operator").raw(
            "POST", path, body.encode(), {"Content-Type": "application/json"}
        )
        if field is None and path != "/v1/sagas":
            field, status = "input", 422
        refused(answer, status, field or "input")
    assert counts(service) == before


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("[" * 99 + "]" * 99, None),
        ("[" * 100 + "]" * 100, 400),
        ('"' + "x" * ((1 << 20) - 8) + '"', None),
        ('"' + "x" * ((1 << 20) - 7) + '"', 413),
    ],
    ids=["deep", "too deep", "large", "too large"],
)
def test_limits_are_those_of_the_value(service: Service, value: str, status: int | None) -> None:
    """100 levels and 1 MiB of what is given, as elsewhere, and not of the body around it."""
    api = service.as_("operator")
    kind = {"Content-Type": "application/json"}
    given = f'{{"x":{value}}}'
    start = '{"name": "order", "input": {"item": "x"}, "attributes": %s}'
    saga_id = service.start("parcel", number=1)
    for path, body, field in (
        ("/v1/sagas", start % given, "attributes"),
        (f"/v1/sagas/{saga_id}/signals", f'{{"name": "x", "payload": {given}}}', "payload"),
    ):
        answer = api.raw("POST", path, body.encode(), kind)
        if status:
            refused(answer, status, field)
        else:
            assert answer.status == 201, answer


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\xff\xfe", 400),
        (b"{\x80}", 400),
        (b"[1]", 422),
        (b"1", 422),
        (b"null", 422),
        (b'"order"', 422),
        (b"{}", 422),
        (b'{"name": ""}', 422),
        (b'{"name": 7}', 422),
        (b'{"name": null}', 422),
        (b'{"name": "order", "input": [1]}', 422),
        (b'{"name": "order", "input": null}', 422),
        (b'{"name": "order", "unknown": 1}', 422),
        (b'{"name": "order", "version": 0}', 422),
        (b'{"name": "order", "version": 2147483648}', 422),
        (b'{"name": "order", "version": 1.5}', 422),
        (b'{"name": "order", "attributes": "x"}', 422),
        (b'{"name": "order", "callback": 1}', 422),
        (b"", 422),
    ],
)
def test_bodies_that_ask_for_nothing_sensible(service: Service, body: bytes, status: int) -> None:
    before = counts(service)
    answer = service.as_("operator").raw(
        "POST", "/v1/sagas", body, {"Content-Type": "application/json"}
    )
    refused(answer, status)
    assert answer.fields
    assert counts(service) == before


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", ""])
def test_a_body_of_another_kind(service: Service, kind: str) -> None:
    answer = service.as_("operator").raw(
        "POST", "/v1/sagas", b'{"name": "order"}', {"Content-Type": kind}
    )
    refused(answer, 415)


def test_a_body_without_an_end_is_cut_off(service: Service) -> None:
    connection = http.client.HTTPConnection(urlsplit(service.api.url).netloc, timeout=30)
    connection.putrequest("POST", "/v1/sagas")
    connection.putheader("Authorization", f"Bearer {service.tokens['operator']}")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "application/json")
    connection.endheaders()
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with suppress(OSError):  # until the server hangs up
        for _ in range(400):
            connection.send(chunk)
    with suppress(OSError, http.client.HTTPException):  # its answer may be lost with the connection
        assert connection.getresponse().status == 413
    connection.close()
    assert service.api.get("/health/live").status == 200


@pytest.mark.parametrize("text", NAUGHTY)
def test_naughty_strings_are_values_like_others(service: Service, text: str, key: str) -> None:
    """What is text is kept as it is, wherever a text may be."""
    api = service.as_("operator")
    body = {"name": "order", "input": {"item": text}, "attributes": {key: text}}
    started = api.post("/v1/sagas", body)
    assert started.status == 201
    saga_id = started.json["id"]
    shown = api.get(f"/v1/sagas/{saga_id}").json
    assert (shown["input"]["item"], shown["attributes"]) == (text, {key: text})
    assert api.get("/v1/sagas", attribute=f"{key}={json.dumps(text)}").json["sagas"]
    reason = {"reason": text}
    cancelled = api.post(f"/v1/sagas/{saga_id}/cancel", reason)
    assert cancelled.status in (202, 409)
    unknown = api.post("/v1/sagas", {"name": text})
    refused(unknown, 422, "name")
    assert api.get("/v1/sagas", name=text).json["sagas"] == []
    sent = api.post(f"/v1/sagas/{saga_id}/signals", {"name": text, "payload": text})
    assert sent.status in (201, 409)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/sagas/x", "path.saga_id"),
        ("/v1/sagas/..%2f..%2fetc", None),
        ("/v1/sagas/%00", "path.saga_id"),
        ("/v1/sagas/%ff", "path.saga_id"),
        ("/v1/sagas?name=%00", "query.name"),
        ("/v1/sagas?name=", "query.name"),
        ("/v1/sagas?name=" + "x" * 501, "query.name"),
        ("/v1/sagas?limit=0", "query.limit"),
        ("/v1/sagas?limit=1001", "query.limit"),
        ("/v1/sagas?limit=9999999999999999999999", "query.limit"),
        ("/v1/sagas?limit=x", "query.limit"),
        ("/v1/sagas?status=lost", "query.status.0"),
        ("/v1/sagas?version=99999999999", "query.version"),
        ("/v1/sagas?since=yesterday", "query.since"),
        ("/v1/sagas?since=999999999w", "query.since"),
        ("/v1/sagas?since=99999999d", None),
        ("/v1/sagas?since=0001-01-01T00:00:00%2b23:59", None),
        ("/v1/sagas?cursor=x", "cursor"),
        ("/v1/sagas?cursor=%00", "cursor"),
        ("/v1/sagas?cursor=MDAwMS0wMS0wMVQwMDowMDowMCsyMzo1OXx4fDE", "cursor"),
        ("/v1/sagas?attribute=x", "query.attribute"),
        ("/v1/sagas?attribute=%00=1", "query.attribute.0"),
        ("/v1/sagas?attribute=%3D1", "query.attribute"),
        ("/v1/effects?outcome=lost", "query.outcome"),
        ("/v1/audit?before=99999999999999999999", "query.before"),
        ("/v1/audit?saga_id=x", "query.saga_id"),
    ],
)
def test_bad_paths_and_queries(service: Service, path: str, field: str | None) -> None:
    answer = service.as_("admin").raw("GET", path)
    assert 400 <= answer.status < 500 or (field is None and answer.status == 200), answer
    if field:
        refused(answer, 422, field)


@pytest.mark.parametrize("text", ["NaN", "1e999", "[[1]]", '{"a": NaN}', "\\u0000", "x=y=z", ""])
def test_odd_attributes_are_searched_for_in_vain(service: Service, text: str) -> None:
    answer = service.as_("viewer").get("/v1/sagas", attribute=f"odd={text}")
    assert (answer.status, answer.json["sagas"]) == (200, [])


@pytest.mark.parametrize("key", ["", "x" * 501])
def test_keys_that_are_none(service: Service, key: str) -> None:
    body = {"name": "order", "input": {"item": "x"}}
    answer = service.as_("operator").post("/v1/sagas", body, Idempotency_Key=key)
    refused(answer, 422, "header.Idempotency-Key")


def test_a_secret_is_in_no_answer_and_no_log(service: Service) -> None:
    """I18: what a caller sends stands in the saga and nowhere else."""
    api, canary = service.as_("operator"), f"c4n4ry{uuid4().hex}"
    for body in (
        {"name": "order", "input": {"item": canary, "amount": [canary]}},
        {"name": "order", "input": {"item": "x"}, "attributes": canary},
        {"name": "order", "input": canary},
        {"name": "order", "version": canary},
    ):
        answer = api.post("/v1/sagas", body)
        refused(answer, 422)
        assert canary not in answer.body.decode()
    started = api.post("/v1/sagas", {"name": "order", "input": {"item": canary}})
    assert started.status == 201
    api.post(f"/v1/sagas/{started.json['id']}/signals", {"name": "x", "payload": canary})
    log = service.log.read_text()
    assert "POST /v1/sagas 201" in log
    assert "the-operator" in log
    assert canary not in log
