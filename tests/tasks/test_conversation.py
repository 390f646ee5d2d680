"""Whole conversations over the Messages API: what was answered goes back as it came."""

import asyncio
import json
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from pydantic import BaseModel

from saga import Permanent, StepFailed, saga
from saga.tasks.answers import Answer, Tool
from saga.tasks.failures import CallFailed, CutOff, Refused, SpendLimit
from saga.tasks.model import ask, call_model, decide
from saga.testing import World
from tests.tasks.scripted import Api, serving

HELLO: dict[str, Any] = {"type": "text", "text": "Hello"}
# The order of the keys is not ours, there are fields that nobody knows, and a signature.
THOUGHT = {"signature": "EqQB+/==", "type": "thinking", "thinking": "Zürich\u2028?"}
STRANGE = {"type": "hologram_2031", "zeta": [1.0, None, {"b": 1, "a": 2}], "alpha": "ü"}
LOOK_UP = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"city": "Bern"}}
SEARCH = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}}
IMAGE: dict[str, Any] = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"},
}
ASKED = {"role": "user", "content": [{"type": "text", "text": "See?"}, IMAGE]}


class City(BaseModel):
    """Arguments of a tool."""

    city: str


TOOL = Tool("look_up", "Looks a city up.", City)


@pytest.fixture(scope="module")
def running() -> Iterator[Api]:
    # One for all: the steps of all worlds share a loop, and so a client, which knows one address.
    with serving() as api:
        yield api


@pytest.fixture
def api(running: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "scripted")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running.clear()
    return running


def asked(*messages: dict[str, Any], **options: Any) -> Answer:
    return asyncio.run(ask(messages or "Hello", **options))


def test_what_was_answered_goes_back_byte_for_byte(api: Api) -> None:
    api.says(THOUGHT, STRANGE, HELLO, LOOK_UP, stop="tool_use")
    api.says(HELLO)
    first = asked(ASKED, tools=[TOOL])
    (call,) = first.tool_calls
    result = call.result([{"type": "text", "text": "a town"}, IMAGE])
    # As a step's result it goes through the database.
    stored = Answer.model_validate_json(first.model_dump_json())
    asked(ASKED, stored.message(), {"role": "user", "content": [result]}, tools=[TOOL])
    given = [THOUGHT, STRANGE, HELLO, LOOK_UP]
    assert api.sent(1, "messages", 1) == json.dumps({"role": "assistant", "content": given})
    assert api.sent(1, "messages", 0) == api.sent(0, "messages", 0) == json.dumps(ASKED)
    assert api.bodies[1]["messages"][2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "toolu_1",
            "content": [{"type": "text", "text": "a town"}, IMAGE],
        }
    ]


def test_a_step_of_a_saga_keeps_the_blocks_as_they_came(api: Api) -> None:
    api.says(THOUGHT, STRANGE, LOOK_UP, stop="tool_use")
    api.says(HELLO)

    @saga
    async def conversation(city: str) -> str:
        messages: list[Any] = [{"role": "user", "content": city}]
        tools: list[Any] = [{"name": "look_up", "input_schema": {"type": "object"}}]
        while True:
            answer = await call_model(messages, tools=tools)
            messages.append(answer.message())
            if not answer.tool_calls:
                return answer.text
            results = [call.result("a town") for call in answer.tool_calls]
            messages.append({"role": "user", "content": results})

    with World() as world:
        assert world.run(conversation("Bern")) == "Hello"
    given = {"role": "assistant", "content": [THOUGHT, STRANGE, LOOK_UP]}
    assert api.sent(1, "messages", 1) == json.dumps(given)


def test_system_blocks_tools_options_and_betas_are_sent(api: Api) -> None:
    api.says(HELLO)
    blocks = [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}]
    server_tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    thinking = {"type": "enabled", "budget_tokens": 2000}
    asked(
        system=blocks,
        tools=[TOOL, server_tool],
        options={"thinking": thinking, "stop_sequences": ["END"]},
        betas=["one", "two"],
    )
    (body,) = api.bodies
    assert body["system"] == blocks
    assert [tool["name"] for tool in body["tools"]] == ["look_up", "web_search"]
    assert body["tools"][1] == server_tool
    assert (body["thinking"], body["stop_sequences"]) == (thinking, ["END"])
    assert api.requests[0].headers["anthropic-beta"] == "one,two"


def test_all_that_was_counted_is_told(api: Api) -> None:
    usage = {
        "input_tokens": 3,
        "output_tokens": 2,
        "cache_read_input_tokens": 4000,
        "cache_creation": {"ephemeral_5m_input_tokens": 7},
        "new_tokens_2031": 1,
    }
    api.says(HELLO, usage=usage, model="claude-x")
    answer = asked()
    assert answer.usage == usage
    assert (answer.input_tokens, answer.output_tokens, answer.model) == (3, 2, "claude-x")


@pytest.mark.parametrize("stop", ["end_turn", "stop_sequence"])
def test_an_answer_that_is_done(api: Api, stop: str) -> None:
    api.says(HELLO, stop=stop, stop_sequence="END" if stop == "stop_sequence" else None)
    answer = asked()
    assert (answer.text, answer.stop_reason, answer.goes_on) == ("Hello", stop, False)
    assert answer.stop_sequence == ("END" if stop == "stop_sequence" else None)


@pytest.mark.parametrize(
    ("stop", "block"),
    [("pause_turn", SEARCH), ("compaction", {"type": "compaction", "content": "so far: …"})],
)
def test_a_pause_is_sent_back_as_it_is(api: Api, stop: str, block: dict[str, Any]) -> None:
    api.says(block, stop=stop)
    api.says(HELLO)
    paused = asked(ASKED)
    assert paused.goes_on
    assert asked(ASKED, paused.message()).text == "Hello"
    assert api.bodies[1]["messages"][1] == {"role": "assistant", "content": [block]}


@pytest.mark.parametrize(
    ("stop", "error", "text"),
    [
        ("max_tokens", CutOff, "max_tokens"),
        ("model_context_window_exceeded", CutOff, "model_context_window_exceeded"),
        ("refusal", Refused, "refuses to answer this \\(cyber\\)"),
    ],
)
def test_an_answer_that_is_none(api: Api, stop: str, error: type[Exception], text: str) -> None:
    api.says(HELLO, stop=stop, stop_details={"type": "refusal", "category": "cyber"})
    with pytest.raises(error, match=text):
        asked()


def test_a_saga_can_take_another_model_after_a_refusal(api: Api) -> None:
    api.says(stop="refusal")
    api.says(HELLO)

    @saga
    async def stubborn() -> str:
        for model in ("first", "second"):
            try:
                return (await call_model([{"role": "user", "content": "?"}], model=model)).text
            except StepFailed as failed:
                if failed.type != "Refused":
                    raise
        return ""

    with World() as world:
        assert world.run(stubborn()) == "Hello"
    assert [body["model"] for body in api.bodies] == ["first", "second"]


def test_nothing_to_add_to_tool_results_is_an_answer(api: Api) -> None:
    api.says()
    done = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": ""}]}
    assert asked(ASKED, {"role": "assistant", "content": [LOOK_UP]}, done).text == ""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after_ms": "1500", "retry_after": "60"}, 1.5),
        ({"retry_after_ms": "soon", "retry_after": "60"}, 60.0),
        ({"retry_after_ms": "nan", "retry_after": "60"}, None),
        ({"retry_after": formatdate(0, usegmt=True)}, 0.0),
    ],
)
def test_how_long_to_wait(api: Api, headers: dict[str, str], seconds: float | None) -> None:
    api.refuses(429, **headers)
    with pytest.raises(CallFailed) as raised:
        asked()
    assert getattr(raised.value, "retry_after", None) == seconds


@pytest.mark.parametrize(
    ("status", "code", "should_retry", "error"),
    [
        (400, None, "true", CallFailed),
        (529, None, "false", Permanent),
        (429, None, "false", Permanent),
        (429, None, "maybe", CallFailed),
        (429, "enforced_spend_limit_reached", "true", SpendLimit),
        (429, "contract_spend_limit_reached", "true", SpendLimit),
        (429, "ramp_limit_exceeded", "false", CallFailed),
        (429, "a_code_of_2031", "true", CallFailed),
        (402, None, "true", SpendLimit),
        (400, None, "false", Permanent),
    ],
)
def test_the_code_goes_before_the_header_and_that_before_the_status(
    api: Api, status: int, code: str | None, should_retry: str, error: type[Exception]
) -> None:
    api.refuses(status, code, x_should_retry=should_retry)
    with pytest.raises(error) as raised:
        asyncio.run(decide("Hello", City))
    assert type(raised.value) is error


def test_a_limit_that_the_customer_has_set(api: Api) -> None:
    api.refuses(400, says="You have reached your specified API usage limits.")
    with pytest.raises(SpendLimit, match="usage limits"):
        asked()
