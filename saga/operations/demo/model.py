"""A stand-in for the Anthropic Messages API: it classifies by keywords and can fail on demand.

`POST /v1/messages` is what the SDK calls. `POST /faults` takes `{"kind", "times"?, "retry_after"?,
"seconds"?}` and lets the next requests fail; `DELETE /faults` ends that.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from pathlib import Path
from typing import Any

from saga.operations.demo.faults import Fault, Script, error_body
from saga.operations.demo.ledger import Ledger
from saga.operations.demo.web import Reply, Request, Wire

LATENCY = 0.015
TROUBLES = ("rate_limit", "overloaded", "server_error", "cut_mid_body")

KEYWORDS = {
    "card": ("card", "pin", "contactless", "visa", "mastercard", "apple pay", "chip", "swallowed"),
    "transfer": ("transfer", "beneficiary", "recipient", "iban", "send money", "sent money"),
    "top_up": ("top up", "top-up", "topup", "topped", "cheque", "deposit"),
    "cash": ("cash", "atm", "withdraw"),
    "exchange": ("exchange", "currency", "currencies", "rate", "abroad", "foreign"),
    "refund": ("refund", "money back", "charged twice", "double", "wrong amount", "overcharged"),
    "fee": ("fee", "charge", "charged", "cost"),
    "identity": ("identity", "verify", "verification", "document", "passport", "id "),
    "account": ("account", "address", "email", "phone", "password", "passcode", "login", "close"),
}
URGENT = ("lost", "stolen", "compromised", "not recogni", "didn't make", "missing", "swallowed")


class Model:
    """The stand-in. A share of calls (`trouble`) fails at the first attempt, by their key."""

    def __init__(self, directory: Path, trouble: float = 0.0, latency: float = LATENCY) -> None:
        self.ledger = Ledger(directory / "model.db")
        self.script = Script()
        self._trouble = trouble
        self._latency = latency
        self._troubled: set[str] = set()

    async def handle(self, request: Request) -> Reply | Wire:
        """Answer one request."""
        match request.method, request.path:
            case "POST", "/v1/messages":
                return await self._message(request)
            case "POST", "/faults":
                self.script.add(**request.json())
                return Reply.of(200, {})
            case "DELETE", "/faults":
                self.script.clear()
                return Reply.of(200, {})
            case _:
                return Reply.of(404, error_body("not_found_error", request.path))

    async def _message(self, request: Request) -> Reply | Wire:
        problem = _refuse(request)
        if problem is not None:
            return self.ledger.note(request, "", problem)
        good = answer(request.json(), request.key or "")
        fault = self.script.take() or self._first_attempt(request.key)
        reply = Reply.of(200, good) if fault is None else fault.play(good)
        await asyncio.sleep(self._latency)
        status = reply if isinstance(reply, Reply) else Reply.of(0, "")
        self.ledger.note(request, "" if fault is None else fault.kind, status)
        return reply

    def _first_attempt(self, key: str | None) -> Fault | None:
        if key is None or key in self._troubled:
            return None
        draw = zlib.crc32(key.encode())
        if draw / 2**32 >= self._trouble:
            return None
        self._troubled.add(key)
        kind = TROUBLES[draw % len(TROUBLES)]
        return Fault(kind, retry_after="1" if kind == "rate_limit" else None)


def answer(body: dict[str, Any], key: str) -> dict[str, Any]:
    """The message that the model gives: a call of the first tool, a JSON value, or plain text."""
    said = _last_words(body["messages"])
    draw = f"{zlib.crc32(f'{key} {said}'.encode()):08x}"
    settings: dict[str, Any] = body.get("output_config") or {}
    output: dict[str, Any] | None = settings.get("format")
    tools: list[dict[str, Any]] = body.get("tools") or []
    content: dict[str, Any] = {"type": "text", "text": f"I have read: {said[:200]}"}
    if tools:
        name, arguments = tools[0]["name"], _fill(tools[0]["input_schema"], said)
        content = {"type": "tool_use", "id": f"toolu_{draw}", "name": name, "input": arguments}
    elif output:
        content["text"] = json.dumps(_fill(output["schema"], said))
    return {
        "id": f"msg_{draw}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [content],
        "stop_reason": "tool_use" if tools else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": len(said) // 4 + 200, "output_tokens": 30},
    }


def classify(said: str, allowed: list[str]) -> str:
    """The allowed category whose keywords occur most often; the last one when none does."""
    lower = said.lower()
    scores = [(sum(lower.count(word) for word in KEYWORDS.get(name, ())), name) for name in allowed]
    best, name = max(scores, key=lambda score: score[0], default=(0, ""))
    return name if best else allowed[-1]


def _fill(schema: dict[str, Any], said: str) -> dict[str, Any]:
    """A value for every field of a JSON schema."""
    fields = schema.get("properties", {})
    return {name: _value(_resolved(field, schema), said) for name, field in fields.items()}


def _value(field: dict[str, Any], said: str) -> object:
    if field.get("enum"):
        return classify(said, field["enum"])
    if field.get("type") == "boolean":
        return any(word in said.lower() for word in URGENT)
    return 0 if field.get("type") in {"integer", "number"} else said[:80]


def _resolved(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = field.get("$ref", "")
    return schema.get("$defs", {}).get(reference.rpartition("/")[2], field)


def _last_words(messages: list[dict[str, Any]]) -> str:
    content = messages[-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join(block.get("text", "") for block in content)


def _refuse(request: Request) -> Reply | None:
    """What the real endpoint refuses, too: no key, no version, a request without its parts."""
    if not (request.headers.get("authorization") or request.headers.get("x-api-key")):
        return Reply.of(401, error_body("authentication_error", "no credentials were sent"))
    body = request.json()
    required = {"model": str, "max_tokens": int, "messages": list}
    wrong = [name for name, type_ in required.items() if not isinstance(body.get(name), type_)]
    if not request.headers.get("anthropic-version"):
        wrong.append("anthropic-version")
    if wrong or not body["messages"]:
        message = f"{', '.join(wrong) or 'messages'}: field required"
        return Reply.of(400, error_body("invalid_request_error", message))
    return None
