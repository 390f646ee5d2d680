"""Reading a model's answer: what is missing, cut off or of the wrong shape is said, not guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import anthropic
from anthropic.types import Message
from pydantic import BaseModel, JsonValue, ValidationError

from saga import Permanent
from saga.tasks.failures import BadAnswer, problems, shorten

Typed = TypeVar("Typed", bound=BaseModel)

CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})


@dataclass(frozen=True, slots=True)
class Tool:
    """Something the model may call: its name, when to use it, and its arguments' type."""

    name: str
    description: str
    arguments: type[BaseModel]

    def parameter(self) -> dict[str, Any]:
        """The tool as the Messages API wants it."""
        schema = anthropic.transform_schema(self.arguments)
        return {"name": self.name, "description": self.description, "input_schema": schema}


class ToolCall(BaseModel):
    """A call that the model asks for; `arguments` fit the tool's type."""

    id: str
    name: str
    arguments: dict[str, JsonValue]


class Answer(BaseModel):
    """What the model said, which tools it wants called, and what it cost."""

    text: str
    tool_calls: list[ToolCall]
    stop_reason: str
    input_tokens: int
    output_tokens: int


def read(message: Message, tools: Mapping[str, Tool]) -> Answer:
    """The answer in `message`; `BadAnswer` or `Permanent` where there is none to rely on."""
    blocks = _blocks(message)
    text = "".join(str(block.get("text", "")) for block in blocks if block["type"] == "text")
    calls = [_tool_call(block, tools) for block in blocks if block["type"] == "tool_use"]
    if not text.strip() and not calls:
        raise BadAnswer("model: the answer is empty")
    if len({call.id for call in calls}) < len(calls):
        raise BadAnswer("model: two tool calls have the same id")
    usage = _fields(message.usage)
    return Answer(
        text=text,
        tool_calls=calls,
        stop_reason=str(message.stop_reason),
        input_tokens=_count(usage, "input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
    )


def read_as(message: Message, type_: type[Typed]) -> Typed:
    """The value of `type_` that the message's text holds; errors as those of `read`."""
    text = read(message, {}).text
    try:
        return type_.model_validate_json(text)
    except ValidationError as error:
        raise BadAnswer(f"model: the answer is no {type_.__name__}: {problems(error)}") from error


def _blocks(message: Message) -> list[dict[str, Any]]:
    """The content blocks as plain objects: the SDK does not check what it parses."""
    stop = getattr(message, "stop_reason", None)
    if stop == "refusal":
        raise Permanent("model: the model refuses to answer this")
    if stop in CUT_OFF:
        raise Permanent(
            f"model: the answer was cut off ({stop}): ask for less or allow more tokens"
        )
    content: object = getattr(message, "content", None)
    if not isinstance(content, list):
        raise BadAnswer("model: the answer has no list of content blocks")
    blocks = [_fields(block) for block in cast("list[object]", content)]
    if any(not isinstance(block.get("type"), str) for block in blocks):
        raise BadAnswer("model: a content block has no type")
    return blocks


def _tool_call(block: dict[str, Any], tools: Mapping[str, Tool]) -> ToolCall:
    name = str(block.get("name"))
    if name not in tools:
        raise BadAnswer(f"model: it calls a tool that it was not given: {shorten(name, 60)}")
    arguments = block.get("input")
    try:
        tools[name].arguments.model_validate(arguments, strict=False)
        return ToolCall.model_validate(
            {"id": block.get("id"), "name": name, "arguments": arguments}
        )
    except ValidationError as error:
        raise BadAnswer(f"model: wrong arguments for {name}: {problems(error)}") from error


def _fields(value: object) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", warnings=False)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0
