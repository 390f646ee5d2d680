import asyncio
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from saga import Permanent, StepFailed, Unknown
from saga.operations.demo.services import Services
from saga.tasks.answers import Tool
from saga.tasks.failures import (
    LONGEST_WAIT,
    BadAnswer,
    CallFailed,
    CutOff,
    Refused,
    SpendLimit,
)
from saga.tasks.model import ask, ask_model, decide
from saga.tasks.support import Category, Classification

LOST = "I lost my card and somebody paid with it"


class Lookup(BaseModel):
    """Arguments of a tool."""

    category: Category


LOOK_UP = Tool("look_up", "Looks up what is known about a category.", Lookup)


def classify(**options: Any) -> Classification:
    return asyncio.run(decide(LOST, Classification, **options))


def test_a_typed_answer(services: Services) -> None:
    assert classify() == Classification(category=Category.CARD, urgent=True)


def test_text_and_what_it_cost(services: Services) -> None:
    answer = asyncio.run(ask("Hello", system="Be short."))
    assert answer.text == "I have read: Hello"
    assert answer.tool_calls == []
    assert answer.output_tokens == 30


def test_a_tool_call_with_validated_arguments(services: Services) -> None:
    (call,) = asyncio.run(ask(LOST, tools=[LOOK_UP])).tool_calls
    assert call.name == "look_up"
    assert call.arguments == {"category": "card"}


def test_the_idempotency_key_goes_along_and_nothing_is_retried(
    services: Services, tmp_path: Path
) -> None:
    services.model.script.add("server_error")
    with pytest.raises(StepFailed, match="CallFailed"):
        asyncio.run(ask_model("Hello"))
    asyncio.run(ask_model("Hello"))
    with closing(sqlite3.connect(tmp_path / "model.db")) as ledger:
        rows = ledger.execute("SELECT status, key FROM request ORDER BY number").fetchall()
    assert [status for status, _ in rows] == [500, 200]
    assert all(key.endswith(":1") for _, key in rows)


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("rate_limit", CallFailed, "429"),
        ("overloaded", CallFailed, "529"),
        ("server_error", CallFailed, "500"),
        ("unavailable", CallFailed, "503"),
        ("gateway_timeout", CallFailed, "504"),
        ("bad_request", Permanent, "400"),
        ("unauthorized", Permanent, "401"),
        ("forbidden", Permanent, "403"),
        ("not_found", Permanent, "404"),
        ("too_large", Permanent, "413"),
        ("spend_limit", SpendLimit, "spend limit"),
        ("cut", Unknown, "RemoteProtocolError"),
        ("cut_mid_body", Unknown, "RemoteProtocolError"),
        ("html", BadAnswer, "not JSON: '<html>"),
        ("html_as_json", BadAnswer, "not JSON"),
        ("truncated_json", BadAnswer, "not JSON"),
        ("wrong_shape", BadAnswer, "no list of content blocks"),
        ("wrong_types", BadAnswer, "no list of content blocks"),
        ("no_type", BadAnswer, "no type"),
        ("empty_content", BadAnswer, "empty"),
        ("max_tokens", CutOff, "cut off (max_tokens)"),
        ("refusal", Refused, "refuses"),
        ("wrong_value", BadAnswer, "no Classification: category: Input should be"),
        ("half_value", BadAnswer, "no Classification: all of it: Invalid JSON"),
    ],
)
def test_every_way_in_which_the_provider_fails(
    services: Services, kind: str, error: type[Exception], text: str
) -> None:
    services.model.script.add(kind)
    with pytest.raises(error) as raised:
        classify()
    assert type(raised.value) is error
    assert text in str(raised.value)
    assert classify().category is Category.CARD


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("unknown_tool", "a tool that it was not given: rm_rf"),
        ("text_arguments", "wrong arguments for look_up: all of it: Input should be"),
        ("wrong_arguments", "wrong arguments for look_up: category"),
        ("duplicate_tool_ids", "the same id"),
    ],
)
def test_tool_calls_that_cannot_be_trusted(services: Services, kind: str, text: str) -> None:
    services.model.script.add(kind)
    with pytest.raises(BadAnswer, match=text):
        asyncio.run(ask(LOST, tools=[LOOK_UP]))


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_no_answer_in_time_is_unknown(services: Services, kind: str) -> None:
    services.model.script.add(kind)
    with pytest.raises(Unknown, match="model"):
        classify(within=0.3)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0", 0.0), ("1e12", LONGEST_WAIT)])
def test_the_provider_says_how_long_to_wait(
    services: Services, header: str, seconds: float
) -> None:
    services.model.script.add("rate_limit", retry_after=header)
    with pytest.raises(CallFailed) as raised:
        classify()
    assert raised.value.retry_after == seconds


def test_nobody_listens(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ANTHROPIC_BASE_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(CallFailed, match="ConnectError"):
            classify()


def test_no_credentials(
    services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    with pytest.raises(Permanent, match="cannot be set up"):
        classify()
