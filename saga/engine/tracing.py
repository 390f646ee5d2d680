"""The trace context of whoever starts a saga."""

import sys


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
