"""Query parameters that a resource does not have are refused: a misspelled one filters nothing."""

import difflib

from fastapi import FastAPI, Request

from saga.client.units import either
from saga.operations.api.problems import Refusal


def refuse_unknown_parameters(request: Request) -> None:
    """By the OpenAPI document, which says what there is. Raises Refusal."""
    known = _known(request.app, request.scope["route"].path, request.method)
    for name in request.query_params:
        if name not in known:
            raise Refusal(422, _refused(name, known), f"query.{name[:80]}")


def _known(app: FastAPI, path: str, method: str) -> list[str]:
    operation = app.openapi()["paths"].get(path, {}).get(method.lower(), {})
    return [given["name"] for given in operation.get("parameters", ()) if given["in"] == "query"]


def _refused(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=2)
    if near:
        hint = f"did you mean {either(near)}?"
    else:
        hint = f"there are {', '.join(known)}" if known else "there are none here"
    return f"there is no parameter {name[:80]!r}: {hint}"
