"""What callers ask for, checked and in the form in which it is stored."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, cast
from uuid import UUID, uuid4

from typing_extensions import TypeVar  # typing's own has no default before Python 3.13

from saga.core.callbacks import check_url
from saga.core.codec import check_json, encode
from saga.core.declare.definitions import SagaDefinition
from saga.errors import InvalidCall, InvalidInput
from saga.storage.starts import Start

R = TypeVar("R", default=Any)

_LARGEST = 2**31 - 1  # Postgres' integer


@dataclass(frozen=True, slots=True)
class StartRequest(Generic[R]):
    """One saga for `Client.start_many`: the saga or its name, its arguments by name, its key.

    `traceparent`: the W3C trace context that it belongs to, of callers that have no current span.
    """

    saga: "SagaDefinition[..., R] | str"
    input: Mapping[str, Any] = field(default_factory=dict[str, Any])
    key: str | None = None
    version: int | None = None
    attributes: Mapping[str, Any] | None = None
    callback: str | None = None
    traceparent: str | None = None


def as_start(
    saga: "SagaDefinition[..., Any] | str",
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    key: str | None,
    version: int | None,
    attributes: Mapping[str, Any] | None,
    callback: str | None,
    traceparent: str | None = None,
) -> Start:
    """A start with everything checked that can be checked here. Raises InvalidInput."""
    if callback is not None:
        check_url(callback)
    if attributes is not None and not isinstance(cast("object", attributes), Mapping):
        raise InvalidInput("attributes: want an object, with a name for each")
    shown = None if attributes is None else encode(attributes, "attributes")
    if key is not None:
        check_words(key, "key")
    if version is not None and not 1 <= version <= _LARGEST:
        raise InvalidInput(f"version: 1 to {_LARGEST}")
    trace = current_traceparent() or traceparent
    if isinstance(saga, SagaDefinition):
        if version not in (None, saga.version):
            raise InvalidInput(
                f"version: the definition that was given is version {saga.version}, not {version}; "
                f"start {saga.name!r} by its name for another version"
            )
        text = saga.encode_input(tuple(args), kwargs)
        given = None if key is None else saga.encode_given(tuple(args), kwargs)
        return Start(
            uuid4(), saga.name, saga.version, saga.queue, key, text, shown, callback, trace, given
        )
    if args:
        raise InvalidInput(f"{saga}: a saga that is started by name takes its arguments by name")
    name = check_words(saga, "name")
    return Start(uuid4(), name, version, None, key, encode(kwargs, name), shown, callback, trace)


def check_options(saga: SagaDefinition[..., Any], args: Sequence[Any], options: Any) -> None:
    """Raises InvalidCall for an option that was probably meant as the parameter of that name."""
    by_name = saga.parameters.names[len(args) :]
    for option, value in options.items():
        if value is not None and option in by_name:
            raise InvalidCall(
                f"{saga.name}: {option!r} is an option of start, and a parameter of this saga: "
                "use start_many([StartRequest(saga, input={...})])"
            )


def check_words(value: str, field: str) -> str:
    """A short text that a column takes."""
    check_json(json.dumps(value), field)
    if not value or len(value) > 500:
        raise InvalidInput(f"{field}: 1 to 500 characters")
    return value


def check_position(value: int | None) -> None:
    """A place in a saga, or none; raises InvalidInput."""
    if value is not None and not 1 <= value <= _LARGEST:
        raise InvalidInput(f"position: 1 to {_LARGEST}")


def as_uuid(saga_id: UUID | str) -> UUID:
    """The id of a saga; raises InvalidInput."""
    if isinstance(saga_id, UUID):
        return saga_id
    try:
        return UUID(saga_id)
    except ValueError:
        raise InvalidInput(f"{str(saga_id)[:60]!r} is not the id of a saga (a UUID)") from None


def current_traceparent() -> str | None:
    """The W3C traceparent of the caller's span; None if there is none.

    A caller that has a span has imported OpenTelemetry: nobody else pays for it.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or not hasattr(trace, "get_current_span"):
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
