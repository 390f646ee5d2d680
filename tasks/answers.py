"""Reading a model's answer: what is missing, cut off or of the wrong shape is said, not guessed.

The blocks of an answer are kept as they came, also those of types that nobody here knows: thinking
is sent back with its signature, and a prefix that is sent again byte for byte is a cached one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, cast

import anthropic
from pydantic import BaseModel, JsonValue, ValidationError

from saga.tasks.failures import BadAnswer, CutOff, Refused, problems, shorten

Typed = TypeVar("Typed", bound=BaseModel)
Block = dict[str, JsonValue]
"""A content block as the Messages API has it: `{"type": "text", "text": …}`, an image, …"""

CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})
GOES_ON = frozenset({"pause_turn", "compaction"})
"""The model is not done: it goes on when its answer is sent back as it is."""


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

    def result(self, content: str | Sequence[Block], *, is_error: bool = False) -> Block:
        """The block that answers this call: a text, or blocks such as images."""
        given: JsonValue = content if isinstance(content, str) else list(content)
        block: Block = {"type": "tool_result", "tool_use_id": self.id, "content": given}
        return block | {"is_error": True} if is_error else block


class Answer(BaseModel):
    """What the model said, which tools it wants called, and what it cost."""

    text: str
    tool_calls: list[ToolCall]
    stop_reason: str
    input_tokens: int
    output_tokens: int
    content: list[Block] = []
    """All its blocks, as they came."""
    usage: dict[str, JsonValue] = {}
    """All that was counted, as it came: the tokens read from and written to the cache, too."""
    stop_sequence: str | None = None
    model: str = ""

    @property
    def goes_on(self) -> bool:
        """The model has only paused (`pause_turn`, `compaction`): send `message()` back."""
        return self.stop_reason in GOES_ON

    def message(self) -> dict[str, JsonValue]:
        """The answer as a message of the conversation, for the next request."""
        return {"role": "assistant", "content": cast("list[JsonValue]", self.content)}


def parse(body: bytes) -> dict[str, Any]:
    """The message that a body holds; `BadAnswer` if it is no JSON object."""
    try:
        message: object = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        text = shorten(body[:400].decode("utf-8", "replace"), 80)
        raise BadAnswer(f"model: the answer is not JSON: {text!r}") from error
    if not isinstance(message, dict):
        raise BadAnswer(f"model: the answer is no message but {shorten(str(message), 80)!r}")
    return cast("dict[str, Any]", message)


def read(
    message: Mapping[str, Any], tools: Mapping[str, Tool | None], *, may_be_empty: bool = False
) -> Answer:
    """The answer in `message`; `BadAnswer`, `Refused` or `CutOff` where there is none to rely on.

    `tools` by name; the arguments of one that is None are only known to be an object.
    """
    blocks = _blocks(message)
    text = "".join(str(block.get("text", "")) for block in blocks if block["type"] == "text")
    calls = [_tool_call(block, tools) for block in blocks if block["type"] == "tool_use"]
    stop = str(message.get("stop_reason"))
    if not (text.strip() or calls or may_be_empty or stop in GOES_ON):
        raise BadAnswer("model: the answer is empty")
    if len({call.id for call in calls}) < len(calls):
        raise BadAnswer("model: two tool calls have the same id")
    counted: object = message.get("usage")
    usage = cast("dict[str, Any]", counted) if isinstance(counted, dict) else {}
    sequence: object = message.get("stop_sequence")
    return Answer(
        text=text,
        tool_calls=calls,
        stop_reason=stop,
        input_tokens=_count(usage, "input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        content=blocks,
        usage=usage,
        stop_sequence=sequence if isinstance(sequence, str) else None,
        model=str(message.get("model") or ""),
    )


def read_as(message: Mapping[str, Any], type_: type[Typed]) -> Typed:
    """The value of `type_` that the message's text holds; errors as those of `read`."""
    text = read(message, {}).text
    try:
        return type_.model_validate_json(text)
    except ValidationError as error:
        raise BadAnswer(f"model: the answer is no {type_.__name__}: {problems(error)}") from error


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The content blocks, of an answer that has not ended before its time."""
    stop = message.get("stop_reason")
    if stop == "refusal":
        raise Refused(f"model: the model refuses to answer this{_why(message.get('stop_details'))}")
    if stop in CUT_OFF:
        raise CutOff(f"model: the answer was cut off ({stop}): ask for less or allow more tokens")
    content: object = message.get("content")
    if not isinstance(content, list):
        raise BadAnswer("model: the answer has no list of content blocks")
    blocks = cast("list[Any]", content)
    if any(
        not isinstance(block, dict) or not isinstance(block.get("type"), str) for block in blocks
    ):
        raise BadAnswer("model: a content block has no type")
    return blocks


def _why(details: object) -> str:
    category = (
        cast("dict[str, Any]", details).get("category") if isinstance(details, dict) else None
    )
    return f" ({shorten(str(category), 60)})" if category else ""


def _tool_call(block: dict[str, Any], tools: Mapping[str, Tool | None]) -> ToolCall:
    name = str(block.get("name"))
    if name not in tools:
        raise BadAnswer(f"model: it calls a tool that it was not given: {shorten(name, 60)}")
    tool, arguments = tools[name], block.get("input")
    try:
        if tool is not None:
            tool.arguments.model_validate(arguments, strict=False)
        return ToolCall.model_validate(
            {"id": block.get("id"), "name": name, "arguments": arguments}
        )
    except ValidationError as error:
        raise BadAnswer(f"model: wrong arguments for {name}: {problems(error)}") from error


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
