"""One trace a saga: through its client, all workers that work on it, and its undos."""

import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from saga import Client, SagaFailed
from saga.core.intent import Intent
from saga.core.rows import StepKey
from saga.engine.attempt.work import ABANDONED, COMMITTED, Ended, Work
from saga.execution.spans import Spans
from tests.execution.test_events import QUEUES, working
from tests.execution.test_install import PROJECT
from tests.live.collector import Collector, Received, collecting
from tests.live.processes import PATIENCE, Process, announced, saga_process, until

SECRET = "4711-0815"
"""The number of a card."""
POSITIONS = {"reserve": 1, "pay": 2, "carry": 3, "pay_back": 2, "release": 1}


@pytest.fixture
def collector() -> Generator[Collector]:
    with collecting() as running:
        yield running


@contextmanager
def worker(
    urls: tuple[str, str], log: Path, *options: str, **environment: str
) -> Generator[Process]:
    """One of `tests.live.traced`."""
    names = {"SAGA_DATABASE_URL": urls[0], "SAGA_BROKER_URL": urls[1]}
    command = ("--app", "tests.live.traced", "worker", "--concurrency", "2", *options)
    with saga_process(*command, environment=names | environment, log=log) as process:
        until(
            lambda: announced(urls[0], "saga.definition"),
            "the worker is ready",
            describe=lambda: process.output,
        )
        yield process


def whole(spans: list[Received], name: str) -> Received:
    """The span of a saga as a whole."""
    (found,) = [span for span in spans if span.name == name]
    return found


def times(database_url: str, saga_id: UUID, where: str) -> list[int]:
    """When things happened, by the database's clock, in nanoseconds."""
    query = f"""SELECT (extract(epoch FROM at) * 1000000)::int8 * 1000 FROM saga.history
                 WHERE saga_id = %s AND {where} ORDER BY seq"""
    with psycopg.connect(database_url) as connection:
        return [row[0] for row in connection.execute(query.encode(), (saga_id,))]


def test_one_trace_over_clients_workers_retries_kills_and_undos(
    database_url: str, broker_url: str, tmp_path: Path, collector: Collector
) -> None:
    urls, on_the_way = (database_url, broker_url), tmp_path / "on the way"
    environment = collector.environment | {"ON_THE_WAY": str(on_the_way)}
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{collector.url}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with (
        closing(Client(*urls)) as client,
        worker(urls, tmp_path / "a", "--traces", "-Q", "sagas,default", **environment) as first,
    ):
        with worker(urls, tmp_path / "b", "--traces", "-Q", "carriers", **environment) as carrier:
            with provider.get_tracer("web").start_as_current_span("POST /orders"):
                handle = client.start("order", card=SECRET)
            until(on_the_way.exists, "it is carried", describe=lambda: carrier.output)
            carrier.kill()
        with worker(urls, tmp_path / "c", "--traces", "-Q", "carriers", **environment) as second:
            with pytest.raises(SagaFailed):
                handle.result(timeout=60)
            until(lambda: collector.named("order"), "its span", describe=lambda: first.output)
            assert second.stop() == 0
        assert first.stop() == 0
    spans = collector.spans
    assert len({span.trace for span in spans}) == 1
    caller, root = whole(spans, "POST /orders"), whole(spans, "order")
    assert (caller.parent, root.parent) == ("", caller.id)

    below = {span.attempt: span for span in spans if span.parent == root.id}
    assert {key: span.attributes["saga.outcome"] for key, span in below.items()} == {
        ("reserve", 1): "succeeded",
        ("pay", 1): "retrying",
        ("pay", 2): "succeeded",
        ("carry", 2): "failed",  # the span of the first died with its worker
        ("pay_back", 1): "succeeded",
        ("release", 1): "succeeded",
    }
    calls = {span.name: span.parent for span in spans if " /" in span.name and span != caller}
    assert calls == {
        "GET /stock": below["reserve", 1].id,
        "POST /charges": below["pay", 2].id,
        "POST /refunds": below["pay_back", 1].id,
        "DELETE /stock": below["release", 1].id,
    }
    assert len(spans) == 2 + len(below) + len(calls)
    _says_what_happened(handle.id, root, below)
    _by_the_clock_of_the_database(database_url, handle.id, root, below)
    assert not any(SECRET.encode() in body for body in collector.bodies)


Below = dict[tuple[str, int], Received]


def _says_what_happened(saga_id: UUID, root: Received, below: Below) -> None:
    refused, carried = below["pay", 1], below["carry", 2]
    assert root.attributes == {
        "saga.id": str(saga_id),
        "saga.name": "order",
        "saga.version": 1,
        "saga.outcome": "compensated",
    }
    assert refused.attributes == {
        "saga.id": str(saga_id),
        "saga.name": "order",
        "saga.step": "pay",
        "saga.position": 2,
        "saga.undo": False,
        "saga.attempt": 1,
        "saga.queue": "default",
        "saga.in_doubt": False,
        "saga.outcome": "retrying",
        "error.type": "ValueError",
    }
    assert (carried.attributes["saga.queue"], carried.attributes["saga.in_doubt"]) == (
        "carriers",
        True,
    )
    for span in below.values():
        name, attributes = span.name, span.attributes
        assert attributes["saga.position"] == POSITIONS[name]
        assert attributes["saga.undo"] == (name in ("pay_back", "release"))
        assert span.is_error == (attributes["saga.outcome"] != "succeeded")
    assert root.is_error
    assert (refused.status, root.resource["service.name"]) == ("ValueError", "the-shop")


def _by_the_clock_of_the_database(
    database_url: str, saga_id: UUID, root: Received, below: Below
) -> None:
    """That of a worker is never behind it."""
    course = times(database_url, saga_id, "position IS NULL")
    assert (root.start, root.end) == (course[0], course[-1])
    for (name, attempt), span in below.items():
        undo, position = name in ("pay_back", "release"), POSITIONS[name]
        step = f"position = {position} AND undo = {undo}"
        (began,) = times(
            database_url, saga_id, f"{step} AND attempt = {attempt} AND after = 'running'"
        )
        assert began <= span.start <= span.end
        with psycopg.connect(database_url) as connection:
            query = f"""SELECT (extract(epoch FROM settled_at) * 1000000)::int8 * 1000
                          FROM saga.step WHERE saga_id = %s AND {step}"""
            (settled,) = connection.execute(query.encode(), (saga_id,)).fetchone() or (0,)
        # Between the two the worker may have asked for the time again, and have heard it sooner.
        assert span.end <= settled + 1_000_000_000


def test_what_comes_after_the_end_has_a_span_of_its_own(
    database_url: str, broker_url: str, tmp_path: Path, collector: Collector
) -> None:
    urls = database_url, broker_url
    environment = collector.environment | {"SAGA_TRACES": "on"}
    with closing(Client(*urls)) as client, worker(urls, tmp_path / "a", **environment) as process:
        handle = client.start("booking", card=SECRET)
        headers = handle.result(timeout=PATIENCE)
        until(lambda: collector.named("booking"), "a span", describe=lambda: process.output)
        client.operator("ann").compensate(handle.id, reason="a mistake")
        until(lambda: len(collector.named("booking")) == 2, "another", describe=str)
    spans = collector.spans
    first, second = collector.named("booking")
    course = times(database_url, handle.id, "position IS NULL")
    assert first.parent == "", "nobody called: its trace begins with it"
    assert {span.trace for span in spans} == {first.trace}
    assert [(s.start, s.end) for s in (first, second)] == [tuple(course[:2]), tuple(course[2:])]
    assert (second.parent, second.attributes["saga.outcome"]) == (first.id, "compensated")
    assert not any(span.is_error for span in (first, second))
    undone = [span for span in spans if span.attributes.get("saga.undo")]
    assert [(span.name, span.parent) for span in undone] == [
        ("pay_back", first.id),
        ("release", first.id),
    ]
    called = [f"00-{first.trace}-{span.id}-01" for span in collector.named("GET /stock")]
    called += [f"00-{first.trace}-{span.id}-01" for span in collector.named("POST /charges")]
    assert headers == called, "what the steps sent to others"


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_children_in_every_pool(
    pool: str, database_url: str, broker_url: str, tmp_path: Path, collector: Collector
) -> None:
    urls = database_url, broker_url
    options = ("--traces", "--pool", pool)
    with (
        closing(Client(*urls)) as client,
        worker(urls, tmp_path / "a", *options, **collector.environment) as process,
    ):
        client.start("journey", card=SECRET).result(timeout=PATIENCE)
        until(lambda: collector.named("journey"), "a span", describe=lambda: process.output)
        assert process.stop() == 0
    journey, booking = whole(collector.spans, "journey"), whole(collector.spans, "booking")
    assert {span.trace for span in collector.spans} == {journey.trace}
    assert (journey.parent, booking.parent) == ("", journey.id)
    assert [span.attempt for span in collector.spans if span.parent == booking.id] == [
        ("reserve", 1),
        ("pay", 1),
        ("pay", 2),
    ]


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_users_own_app_is_traced_and_logged(
    pool: str, database_url: str, broker_url: str, tmp_path: Path, collector: Collector
) -> None:
    (tmp_path / "shopproject.py").write_text(PROJECT)
    environment = {
        "BROKER": broker_url,
        "DATABASE": database_url,
        "NOTES": str(tmp_path / "notes"),
        "SAGA_TRACES": "on",
    }
    command = ("celery", "-A", "shopproject", "worker", "-P", pool, "-c", "2", "-l", "INFO")
    with (
        closing(Client(database_url, broker_url)) as client,
        working(tmp_path, (*command, *QUEUES), environment | collector.environment),
    ):
        until(lambda: announced(database_url, "saga.definition"), "the worker is there")
        assert client.start("buy", amount=7).result(PATIENCE) == "payment of 7, shipped"
        until(lambda: collector.named("buy"), "a span")
    root = whole(collector.spans, "buy")
    below = {span.name: span.parent for span in collector.spans if span != root}
    assert below == {"shopproject.charge": root.id, "ship": root.id}
    log = (tmp_path / "worker.log").read_text()
    assert "saga buy completed" in log
    assert "ship succeeded: attempt 1 of step 2" in log


def test_a_collector_that_fails_costs_no_step(
    database_url: str, broker_url: str, tmp_path: Path, collector: Collector
) -> None:
    """It answers with errors, hangs, and is gone."""
    urls = database_url, broker_url
    environment = collector.environment | {"OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
    with closing(Client(*urls)) as client:

        def books() -> None:
            assert len(client.start("booking", card=SECRET).result(timeout=PATIENCE)) == 2

        collector.answer = 500
        with worker(urls, tmp_path / "a", "--traces", **environment) as process:
            books()
            until(lambda: collector.refused, "it is asked", describe=lambda: process.output)
            collector.hold.clear()
            books()
            assert process.stop() == 0, "it does not wait for those that hang"
        collector.hold.set()
        gone = environment | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
        with worker(urls, tmp_path / "b", "--traces", **gone) as process:
            books()
            assert process.stop() == 0
    assert collector.spans == []


def test_off_is_not_even_imported(database_url: str, broker_url: str, tmp_path: Path) -> None:
    urls = database_url, broker_url
    for folder, options in (("a", ()), ("b", ("--traces",))):
        with closing(Client(*urls)) as client, worker(urls, tmp_path / folder, *options):
            found = client.start("inspect").result(timeout=PATIENCE)
            assert bool(found) == bool(options)


def test_all_or_nothing_of_a_trace_is_sampled() -> None:
    kept: set[int] = set()
    for _ in range(40):
        exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.5)))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        spans, saga_id = Spans(provider), uuid4()
        now = time.time()
        for position in (1, 2):
            work = Work(StepKey(saga_id, position, False), "s", Intent("step", "step", "q"), 1, 0)
            spans.started(work, now)
            spans.ended(work, COMMITTED if position == 1 else ABANDONED, 1.0)
        course = [(now, "running"), (now + 3, "completed")]
        spans.saga_ended(Ended(saga_id, "s", 1, "completed", 3.0, None, lambda: course))  # noqa: B023
        kept.add(len(exporter.get_finished_spans()))
    assert kept == {0, 3}
