"""What workers count: each figure moves by what really happens, in every kind of pool."""

import os
import re
import signal
import urllib.request
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from saga import Client, SagaFailed
from tests.live.http import Api
from tests.live.processes import Process, announced, saga_process, shop_worker, until
from tests.live.serving import make_tokens, serving
from tests.operations.test_metrics import samples

Samples = dict[tuple[str, tuple[str, ...]], float]


def served(worker: Process) -> Samples:
    """What a worker shows now."""
    (url,) = re.findall(r"http://\S+", worker.output)
    with urllib.request.urlopen(url) as reply:
        return samples(reply.read())


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_a_worker_serves_what_it_has_done(
    pool: str, database_url: str, broker_url: str, tmp_path: Path
) -> None:
    options = ("--metrics-port", "0", "--pool", pool)
    folder = {"TMPDIR": str(tmp_path)}
    with (
        shop_worker(database_url, broker_url, tmp_path / "log", *options, **folder) as worker,
        closing(Client(database_url, broker_url)) as client,
    ):
        assert served(worker)["saga_lease_takeovers_total", ()] == 0
        handles = [client.start("order", item="tea", amount=amount) for amount in (1, 100) * 6]
        assert all(handle.result(timeout=60) for handle in handles)

        def counted() -> Samples:
            found = served(worker)
            done = found.get(("saga_ended_total", ("order", "completed"))) == len(handles)
            return found if done else {}

        found = until(counted, "all are counted", describe=lambda: worker.output)
        assert worker.stop() == 0
    assert found["saga_step_attempts_total", ("succeeded", "reserve", "false")] == 12
    assert found["saga_step_seconds_count", ("pay", "false")] == 12
    assert found["saga_step_seconds_bucket", ("20.0", "pay", "false")] == 12
    assert found["saga_seconds_count", ("order",)] == 12
    assert found["saga_seconds_sum", ("order",)] > 0
    assert not list(tmp_path.glob("saga-metrics-*")), "nothing is left behind"


def test_what_killed_children_have_counted_is_kept(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    options = ("--metrics-port", "0", "--pool", "prefork")
    with (
        shop_worker(database_url, broker_url, tmp_path / "log", *options) as worker,
        closing(Client(database_url, broker_url)) as client,
    ):
        for so_far in (1, 2, 3):
            assert client.start("order", item="tea").result(timeout=60)
            until(
                lambda: served(worker).get(("saga_ended_total", ("order", "completed"))) == so_far,  # noqa: B023
                f"{so_far} are counted",
                describe=lambda: f"{served(worker)}\n{worker.output}",
            )
            _kill_children(worker)
        assert served(worker)["saga_step_attempts_total", ("succeeded", "pay", "false")] >= 3


def _kill_children(worker: Process) -> None:
    for child in psutil.Process(worker.pid).children():
        os.kill(child.pid, signal.SIGKILL)


@contextmanager
def troubled_worker(
    urls: tuple[str, str], log: Path, queues: str, lingers: Path
) -> Generator[Process]:
    names = {"SAGA_DATABASE_URL": urls[0], "SAGA_BROKER_URL": urls[1], "LINGERS": str(lingers)}
    command = ("--app", "tests.live.moves", "worker", "-c", "2", "--queues", queues)
    with saga_process(*command, "--metrics-port", "0", environment=names, log=log) as worker:
        until(
            lambda: announced(urls[0]) and "http://" in worker.output,
            "the worker is ready",
            describe=lambda: worker.output,
        )
        yield worker


def test_each_figure_moves(database_url: str, broker_url: str, tmp_path: Path) -> None:
    urls, lingers = (database_url, broker_url), tmp_path / "lingers"
    with (
        serving(database_url, broker_url, tmp_path / "server") as stranger,
        closing(Client(*urls)) as client,
        troubled_worker(urls, tmp_path / "a", "sagas,default", lingers) as worker,
    ):
        api = stranger.with_token(make_tokens(database_url)["viewer"])
        handle = client.start("troubled")
        _waits_for_a_worker(api)
        with troubled_worker(urls, tmp_path / "b", "apart", lingers) as victim:
            until(lingers.exists, "it lingers", describe=lambda: victim.output)
            until(lambda: scraped(api)["saga_steps_running", ("apart",)] == 1, "it runs")
            assert scraped(api)["saga_workers", ("apart",)] == 1
            victim.kill()
        with troubled_worker(urls, tmp_path / "c", "apart", lingers) as other:
            with pytest.raises(SagaFailed):
                handle.result(timeout=60)

            def counted() -> Samples:
                found = served(worker)
                has_ended = ("saga_ended_total", ("troubled", "partly_compensated")) in found
                dawdled = found.get(("saga_step_attempts_total", ("succeeded", "dawdle", "false")))
                return found if has_ended and dawdled == 2 else {}

            mine = until(counted, "all is counted", describe=lambda: worker.output)
            others = served(other)
        until(lambda: scraped(api)["saga_blocked", ("undo",)] == 1, "somebody must decide")
        assert scraped(api)["saga_blocked", ("step",)] == 0
        _taken_for_dead(database_url, worker)
    assert {key[1]: n for key, n in mine.items() if key[0] == "saga_step_attempts_total"} == {
        ("retrying", "stumble", "false"): 1,
        ("succeeded", "stumble", "false"): 1,
        ("unknown", "vanish", "false"): 1,
        ("succeeded", "vanish", "false"): 1,
        ("succeeded", "dawdle", "false"): 2,  # the first of them too late
        ("failed", "give_up", "false"): 1,
        ("blocked", "appear", "true"): 1,
    }
    assert others["saga_step_attempts_total", ("succeeded", "linger", "false")] == 1
    assert mine["saga_step_seconds_bucket", ("5.0", "dawdle", "false")] == 1
    assert mine["saga_step_seconds_bucket", ("20.0", "dawdle", "false")] == 2
    assert mine["saga_seconds_count", ("troubled",)] == 1
    for name in ("saga_lease_timeouts_total", "saga_lease_takeovers_total"):
        assert mine[name, ()] + others[name, ()] == 1, "dawdle's, and linger's"


def scraped(api: Api) -> Samples:
    """What the server shows now, or did a second ago."""
    answer = api.get("/metrics")
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("text/plain")
    return samples(answer.body)


def _waits_for_a_worker(api: Api) -> None:
    """A backlog that nobody serves; it gets older."""

    def waits() -> float:
        found = scraped(api)
        if not found.get(("saga_backlog", ("apart",))):
            return 0
        assert found["saga_workers", ("sagas",)] == 1
        assert found.get(("saga_workers", ("apart",)), 0) == 0
        return found["saga_backlog_oldest_seconds", ("apart",)]

    first = until(waits, "a step waits for a worker", within=60)
    until(lambda: waits() > first, "it waits longer")


def _taken_for_dead(database_url: str, worker: Process) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE saga.worker SET ended_at = now() WHERE ended_at IS NULL")
    until(
        lambda: served(worker)["saga_leases_lost_total", ()] == 1,
        "it has noticed",
        describe=lambda: worker.output,
    )
