"""The switch of OpenTelemetry, which is imported only behind it."""

import os
from importlib.util import find_spec

from saga.engine.worker.watchers import Watcher
from saga.errors import InvalidInput

_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


def is_wanted(given: bool | None) -> bool:
    """Whether workers trace: as given, else SAGA_TRACES. Raises InvalidInput if they cannot."""
    wanted = given
    if wanted is None:
        wanted = os.environ.get("SAGA_TRACES", "off").lower() in ("on", "1", "yes", "true")
    if wanted and not all(map(_is_there, _NEEDED)):
        raise InvalidInput("traces need OpenTelemetry: pip install 'saga-orchestrator[otel]'")
    return wanted


def make_spans() -> Watcher:
    """The watcher of a process."""
    from saga.execution.spans import Spans

    return Spans()


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
