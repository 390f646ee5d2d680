"""What steps do to the outside world."""

import json
import os
from http.client import HTTPConnection
from typing import Any

from saga import Permanent, current

URL = "FAULTS_LEDGER"
_TIMEOUT = 20.0  # seconds; longer than any test holds a request back on purpose


def do(name: str) -> str:
    """Has an effect under the step's key; the receipt."""
    status, receipt = _ask("do", name)
    if status == 409:
        raise Permanent("the key is void")
    return receipt


def undo(name: str) -> None:
    """Undoes the effect of the step, or sees to it that it never happens."""
    status, _ = _ask("undo", name)
    if status != 200:
        raise Permanent("out of order")


def find(name: str) -> str | None:
    """The receipt of the step's effect, if it happened."""
    return _ask("find", name)[1]


def _ask(verb: str, name: str) -> tuple[int, Any]:
    ctx = current()
    connection = HTTPConnection(os.environ[URL], timeout=_TIMEOUT)
    try:
        headers = {"Idempotency-Key": ctx.idempotency_key, "Attempt": str(ctx.attempt)}
        connection.request("POST", f"/{verb}/{name}", headers=headers)
        reply = connection.getresponse()
        if reply.status == 503:
            raise RuntimeError("come again")
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()
