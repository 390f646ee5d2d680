"""Following a saga while it runs."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from saga.operations.embedded import EmbeddedStack
from tests.api.conftest import Service, refused
from tests.engine.test_callbacks import World
from tests.live.http import Api
from tests.live.processes import saga_process, until
from tests.live.serving import make_tokens, serving


def transitions(events: list[dict[str, str]]) -> list[int]:
    return [json.loads(e["data"])["seq"] for e in events if e["event"] == "transition"]


def test_a_saga_is_followed_to_its_end(service: Service) -> None:
    api, saga_id = service.as_("operator"), service.start("parcel", number=1)
    events: list[dict[str, str]] = []
    heard = threading.Event()

    def follow() -> None:
        for event in api.events(f"/v1/sagas/{saga_id}/events"):
            events.append(event)
            heard.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert heard.wait(20), "it begins while the saga runs"
    for at in ("depot", "door"):
        api.post(f"/v1/sagas/{saga_id}/signals", {"name": "seen", "payload": at})
    thread.join(timeout=30)
    assert not thread.is_alive(), "the stream ends with the saga"
    last = events[-1]
    assert (last["event"], json.loads(last["data"])) == ("end", {"status": "completed"})
    numbers = transitions(events)
    assert numbers == list(range(1, len(numbers) + 1))
    assert [e["id"] for e in events if "id" in e] == [str(n) for n in numbers]


def test_who_connects_again_misses_nothing(service: Service) -> None:
    api, saga_id = service.as_("viewer"), service.start("order", item="x")
    service.reaches(saga_id, "completed")
    path = f"/v1/sagas/{saga_id}/events"
    all_of_it = transitions(list(api.events(path)))
    assert transitions(list(api.events(path, last=2))) == all_of_it[2:]
    assert transitions(list(api.events(path, last=999))) == []
    refused(api.raw("GET", path, headers={"Last-Event-ID": "x"}), 422, "header.Last-Event-ID")


def test_what_a_saga_exposes_is_shown(service: Service) -> None:
    """As it is, then whenever it is another; its events have no id of their own."""
    saga_id = service.start("order", item="x")
    service.reaches(saga_id, "completed")
    events = list(service.as_("viewer").events(f"/v1/sagas/{saga_id}/events", last=2))
    (shown,) = [event for event in events if event["event"] == "exposed"]
    assert shown == {"event": "exposed", "data": '{"reservation":"1 x x"}'}
    assert events[-1]["event"] == "end"


@pytest.mark.slow
def test_a_stream_outlives_the_database(own_stack: EmbeddedStack, tmp_path: Path) -> None:
    """Whoever follows is not cut off by a restart of Postgres, and misses nothing."""
    url, broker = own_stack.database_url, own_stack.broker_url
    world = World(url)
    with serving(url, broker, tmp_path / "server") as api:
        viewer = api.with_token(make_tokens(url)["viewer"])
        saga_id = world.start(None)
        many = [viewer.events(f"/v1/sagas/{saga_id}/events") for _ in range(20)]
        assert {next(stream)["event"] for stream in many} == {"transition"}
        world.sql.execute("UPDATE saga.saga SET exposed = '{\n\"at\": 1}', updated_at = now()")
        assert {next(stream)["data"] for stream in many} == {'{ "at": 1}'}, "without a transition"
        world.sql.close()
        own_stack.postgres.restart(immediate=True)
        assert viewer.get(f"/v1/sagas/{saga_id}").status == 200
        own_stack.postgres.kill()
        refused(viewer.get(f"/v1/sagas/{saga_id}"), 503)
        own_stack.postgres.start()
        world.sql = psycopg.connect(url, autocommit=True)
        world.sql.execute("UPDATE saga.saga SET exposed = '2', updated_at = now()")
        assert {next(stream)["data"] for stream in many} == {"2"}
        world.end(saga_id, "completed", result=3)
        for stream in many:
            rest = list(stream)
            assert [event["event"] for event in rest] == ["transition", "end"]
            assert rest[0]["id"] == "2"
    world.close()


@pytest.mark.slow
def test_a_server_that_is_told_to_stop_does_not_wait_for_streams(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    world = World(database_url)
    urls = {"SAGA_DATABASE_URL": database_url, "SAGA_BROKER_URL": broker_url}
    command = ("serve", "--port", "0", "--json")
    with saga_process(*command, environment=urls, log=tmp_path / "log") as server:
        url = until(lambda: server.output and json.loads(server.output)["url"], "it listens")
        viewer = Api(url, make_tokens(database_url)["viewer"])
        stream = viewer.events(f"/v1/sagas/{world.start(None)}/events")
        assert next(stream)["event"] == "transition"
        assert server.stop() in (0, -signal.SIGTERM), "it ends in time"
    world.close()


def test_streams_that_are_closed_are_forgotten(service: Service) -> None:
    """The limit is on those that are open: many more may have been."""
    saga_id = service.start("parcel", number=1)
    for _ in range(20):
        stream: Iterator[dict[str, str]] = service.as_("viewer").events(
            f"/v1/sagas/{saga_id}/events"
        )
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    assert service.as_("viewer").get(f"/v1/sagas/{saga_id}").status == 200
