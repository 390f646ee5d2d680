"""OpenTelemetry spans: one of each attempt of a step or compensation, one of each saga as a whole.

All spans of a saga are in one trace, whoever makes them, and whenever: the ids of the trace and of
the saga's own span follow from its row (`saga.core.traces`). No span holds a payload or the text of
an error, which may quote one.
"""

import json
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Status, StatusCode, TraceFlags

from saga.core.states import ENDED, SagaStatus
from saga.core.traces import TraceRoot, trace_root
from saga.engine.attempt.work import Ended, Outcome, Work
from saga.engine.worker.watchers import Watcher

_FLUSH_WITHIN = 3.0  # seconds; a collector that hangs keeps no worker from leaving
_Attributes = Mapping[str, str | int | bool]


class Spans(Watcher):
    """A watcher of steps, one a process.

    The spans go to the process's tracer provider if a module of the user's, or
    `opentelemetry-instrument`, has set one; else by OTLP to where the variables OTEL_* say. They
    are exported by a thread of the SDK's: a collector that is away costs spans, never a step.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider or _provider()
        self._tracer = self._provider.get_tracer("saga-orchestrator")
        self._ids = _GivenIds(self._provider.id_generator)
        if isinstance(self._tracer, Tracer):  # it is ours alone; no other is if the SDK is off
            self._tracer.id_generator = self._ids
        self._here = threading.local()

    def started(self, work: Work, at: float) -> None:
        """What the step's function does, is below this span."""
        self._here.attempt = None
        root = trace_root(work.key.saga_id, work.traceparent)
        span = self._span(work.intent.name, at, self._whole(root), _of_attempt(work))
        self._here.attempt = span, attach(trace.set_span_in_context(span)), at

    def ended(self, work: Work, outcome: Outcome, seconds: float) -> None:
        """Ends it, with the outcome."""
        del work
        attempt, self._here.attempt = self._here.attempt, None
        if attempt is None:  # it could not begin
            return
        span, token, at = attempt
        detach(token)
        span.set_attribute("saga.outcome", outcome.state)
        if outcome.state != "succeeded":
            kind = json.loads(outcome.error)["type"] if outcome.error else None
            if kind is not None:
                span.set_attribute("error.type", kind)
            span.set_status(Status(StatusCode.ERROR, kind or outcome.state))
        span.end(_nanoseconds(at + seconds))

    def saga_ended(self, saga: Ended) -> None:
        """The span that the others are below. What comes after a saga's first end (it is undone by
        hand, or retried) has a span of its own, below that.
        """
        root = trace_root(saga.saga_id, saga.traceparent)
        life = _last_life(saga.course())
        attributes: _Attributes = {
            "saga.id": str(saga.saga_id),
            "saga.name": saga.name,
            "saga.version": saga.version,
            "saga.outcome": saga.status,
        }
        if life.is_first:
            with self._ids.given(root.trace, root.span):
                span = self._span(saga.name, life.began, self._above(root), attributes)
        else:
            span = self._span(saga.name, life.began, self._whole(root), attributes)
        if _is_bad(saga.status, life):
            span.set_status(Status(StatusCode.ERROR, saga.status))
        span.end(_nanoseconds(life.ended))

    def stopped(self) -> None:
        """Exports what waits, for a while."""
        flush = threading.Thread(target=self._provider.force_flush, daemon=True)
        flush.start()
        flush.join(_FLUSH_WITHIN)

    def _span(
        self, name: str, at: float, parent: SpanContext | None, attributes: _Attributes
    ) -> Span:
        context = Context()  # not the caller's: its thread has served other sagas
        if parent is not None:
            context = trace.set_span_in_context(NonRecordingSpan(parent), context)
        return self._tracer.start_span(
            name, context, attributes=attributes, start_time=_nanoseconds(at)
        )

    def _whole(self, root: TraceRoot) -> SpanContext:
        """The span of the saga as a whole, which there is once the saga has ended."""
        return self._context(root, root.span)

    def _above(self, root: TraceRoot) -> SpanContext | None:
        return None if root.parent is None else self._context(root, root.parent)

    def _context(self, root: TraceRoot, span: int) -> SpanContext:
        flags = self._flags(root.trace) if root.flags is None else root.flags
        return SpanContext(root.trace, span, is_remote=True, trace_flags=TraceFlags(flags))

    def _flags(self, trace_id: int) -> int:
        """What every worker with this sampler says of a trace that no caller has decided upon."""
        decision = self._provider.sampler.should_sample(Context(), trace_id, "saga").decision
        return TraceFlags.SAMPLED if decision.is_sampled() else TraceFlags.DEFAULT


class _GivenIds(IdGenerator):
    """Random ids, unless they are given."""

    def __init__(self, others: IdGenerator) -> None:
        self._others = others
        self._here = threading.local()

    @contextmanager
    def given(self, trace_id: int, span_id: int) -> Generator[None]:
        """For spans of this thread, inside the block."""
        self._here.ids = trace_id, span_id
        try:
            yield
        finally:
            self._here.ids = None

    def generate_trace_id(self) -> int:
        ids = getattr(self._here, "ids", None)
        return ids[0] if ids else self._others.generate_trace_id()

    def generate_span_id(self) -> int:
        ids = getattr(self._here, "ids", None)
        return ids[1] if ids else self._others.generate_span_id()


class _Life(NamedTuple):
    """From a saga's start, or from when it was taken up again, to its end (epoch seconds)."""

    began: float
    ended: float
    is_first: bool


def _last_life(course: Sequence[tuple[float, str]]) -> _Life:
    ends = [number for number, (_, status) in enumerate(course) if status in ENDED]
    first = len(ends) == 1
    return _Life(course[0 if first else ends[-2] + 1][0], course[ends[-1]][0], first)


def _is_bad(status: str, life: _Life) -> bool:
    """To be undone by hand, or cancelled, is no error of the saga's."""
    if status == SagaStatus.COMPENSATED:
        return life.is_first
    return status in (SagaStatus.FAILED, SagaStatus.PARTLY_COMPENSATED)


def _of_attempt(work: Work) -> _Attributes:
    return {
        "saga.id": str(work.key.saga_id),
        "saga.name": work.saga_name,
        "saga.step": work.intent.name,
        "saga.position": work.key.position,
        "saga.undo": work.key.undo,
        "saga.attempt": work.attempt,
        "saga.queue": work.intent.queue or "",
        "saga.in_doubt": work.in_doubt,
    }


def _provider() -> TracerProvider:
    """The one that is set; else one that exports by OTLP, for the user's own spans too."""
    found = trace.get_tracer_provider()
    if isinstance(found, TracerProvider):
        return found
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "saga-worker"}))
    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(made)
    return made


def _nanoseconds(at: float) -> int:
    return int(at * 1e6) * 1_000
