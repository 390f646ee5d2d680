"""An OpenTelemetry collector on loopback: what workers export, as it comes over the wire."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Received:
    """A span. Ids in hex; `parent` is empty if it has none; times in epoch nanoseconds."""

    trace: str
    id: str
    parent: str
    name: str
    start: int
    end: int
    attributes: dict[str, Any]
    is_error: bool
    status: str
    resource: dict[str, Any]

    @property
    def attempt(self) -> tuple[str, int]:
        """Name and attempt of a step."""
        return self.name, self.attributes.get("saga.attempt", 0)


@dataclass(slots=True)
class Collector:
    """`answer`: the status that each request gets from now on. `hold`: they wait for it first."""

    url: str
    answer: int = 200
    hold: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list[bytes])
    refused: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """What tells a process to export here, and soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_SERVICE_NAME": "the-shop",
        }

    @property
    def spans(self) -> list[Received]:
        """All that were accepted, oldest first."""
        found = [span for body in list(self.bodies) for span in _spans(body)]
        return sorted(found, key=lambda span: span.start)

    def named(self, *names: str) -> list[Received]:
        return [span for span in self.spans if span.name in names]


@contextmanager
def collecting() -> Generator[Collector]:
    """A collector that speaks OTLP over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.hold.wait()
            if collector.answer == 200:
                collector.bodies.append(body)
            else:
                collector.refused += 1
            self.send_response(collector.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda request, client_address: None  # pyright: ignore[reportAttributeAccessIssue] - a worker that was killed
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    collector.hold.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        collector.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _spans(body: bytes) -> Generator[Received]:
    request: Any = ExportTraceServiceRequest.FromString(body)
    for group in request.resource_spans:
        resource = _values(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Received(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    _values(span.attributes),
                    span.status.code == 2,
                    span.status.message,
                    resource,
                )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
