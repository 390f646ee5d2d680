"""The OpenAPI document, and what a fuzzer finds with it."""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# Schemathesis leaves a type parameter open.

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from saga.operations.api import ApiSettings, create_app
from tests.api.conftest import Service

EXAMPLES = int(os.environ.get("SAGA_FUZZ_EXAMPLES", "12"))
"""For each operation; a few seconds in all."""

DOCUMENT: dict[str, Any] = create_app(ApiSettings("postgresql://")).openapi()
OPERATIONS = [
    (path, method)
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if not path.endswith("/events")  # it has no end: see test_events
]
FRAMING = ("Transfer-Encoding", "Content-Length", "Connection", "Upgrade", "Expect", "Host")
"""Headers that the HTTP server answers for by itself, in plain text, before the API sees them."""
_NO_HEALTH_CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="session")
def some_sagas(service: Service) -> list[str]:
    """One that has completed, one that waits for an approval, one that waits for a signal."""
    done = service.start("order", item="x")
    waiting = service.start("order", item="x", amount=500)
    listening = service.start("parcel", number=1)
    service.reaches(done, "completed")
    service.approval_of(waiting)
    return [done, waiting, listening]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("mode", GenerationMode)
def test_a_fuzzer_finds_no_5xx(
    service: Service, some_sagas: list[str], path: str, method: str, mode: GenerationMode
) -> None:
    """What the document allows, and what it does not."""
    if mode is GenerationMode.NEGATIVE and path.startswith("/health"):
        return  # without parameters there is nothing to do wrong
    schema: Any = schemathesis.openapi.from_dict(DOCUMENT)
    cases = schema[path][method].as_strategy(generation_mode=mode)
    headers = {"Authorization": f"Bearer {service.tokens['admin']}"}
    sagas = iter(some_sagas * EXAMPLES)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=_NO_HEALTH_CHECKS,
    )
    @given(cases)
    def fuzz(case: Any) -> None:
        if "saga_id" in case.path_parameters:
            case.path_parameters["saga_id"] = next(sagas, some_sagas[0])
        for name in FRAMING:
            case.headers.pop(name, None)
        wait = case.query.get("wait")
        if isinstance(wait, int | float):
            case.query["wait"] = min(wait, 0.01)
        case.call_and_validate(base_url=service.api.url, headers=headers, checks=CHECKS)

    fuzz()


def test_the_document_says_how_to_get_in() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert schemes == {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token from `saga token create`.",
        }
    }
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            assert operation.get("security") == (
                None if path.startswith("/health") else [{"token": []}]
            )
            assert operation["summary"]
            problem = operation["responses"]["422"]["content"]["application/problem+json"]
            assert problem == {"schema": {"$ref": "#/components/schemas/Problem"}}
