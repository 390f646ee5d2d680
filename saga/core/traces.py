"""Where a saga's trace comes from, so that workers that share nothing but its row agree on it."""

import hashlib
from typing import NamedTuple
from uuid import UUID


class TraceRoot(NamedTuple):
    """The span of a saga as a whole: its trace, its own id, and the span that it is below.

    `parent` None: the saga's trace begins with it. `flags` None: nobody has decided yet whether the
    trace is sampled; that follows from its id.
    """

    trace: int
    span: int
    parent: int | None
    flags: int | None


def trace_root(saga_id: UUID, traceparent: str | None) -> TraceRoot:
    """What follows from a saga's id and the trace context that is stored with it.

    The functions `trace_of` and `trace_below` of the database write what this reads, and derive the
    same ids.
    """
    digest = hashlib.sha256(str(saga_id).encode()).hexdigest()
    span = int(digest[32:48], 16)
    if traceparent is None:
        return TraceRoot(int(digest[:32], 16), span, None, None)
    _, trace, parent, *flags = traceparent.split("-")
    return TraceRoot(int(trace, 16), span, int(parent, 16), int(flags[0], 16) if flags else None)
