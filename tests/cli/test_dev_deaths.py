"""Whatever of `saga dev` is killed comes back where it was, and it says so."""

import pytest

from tests.cli.commands import run, until
from tests.cli.developing import Start, api_answers, flower_says, gone
from tests.live.http import Api


@pytest.mark.slow
def test_a_server_that_is_killed_comes_back_where_it_was(start: Start) -> None:
    dev = start("--app", "shop", "--no-flower", "--no-api")
    until(lambda: run("workers", "--json", **dev.environment).json["workers"], "a worker")
    order = ("start", "order", "--input", '{"item": "tea"}', "--wait", "30", "--json")
    done = [run(*order, **dev.environment).json]
    for name, program in (("Postgres", "bin/postgres"), ("Redis", "redis-server")):
        dev.kill(program)
        until(lambda name=name: dev.has_said(f"{name} is back"), f"{name} is back")
        assert dev.has_said(f"{name} has ended (killed by SIGKILL)")
        done.append(run(*order, **dev.environment).json)
    assert [one["result"] for one in done] == ["reservation of tea"] * 3
    listed = run("list", "--json", **dev.environment).json["sagas"]
    assert {row["id"] for row in listed} == {one["id"] for one in done}
    family = dev.family()
    dev.end()
    assert dev.process.returncode == 0
    assert gone(family)


@pytest.mark.slow
def test_steps_that_kill_their_worker_do_not_end_it(start: Start) -> None:
    """However soon, and however many in a row: the worker did start."""
    dev = start("--app", "shop", "--no-flower", "--no-api")
    for _ in range(2):
        run("start", "last_order", "--input", '{"item": "tea"}', **dev.environment)
    until(lambda: dev.has_said("another takes its place in "), "again and again", patience=120)
    order = ("start", "order", "--input", '{"item": "tea"}', "--wait", "120", "--json")
    assert run(*order, **dev.environment).json["result"] == "reservation of tea"
    assert dev.process.poll() is None
    dev.end()
    assert dev.process.returncode == 0


@pytest.mark.slow
def test_a_server_that_ends_again_and_again_ends_it_all(start: Start) -> None:
    dev = start("--no-flower", "--no-api")
    family = dev.family()

    def has_ended() -> bool:
        if victim := dev.find("redis-server"):
            victim.kill()
        return dev.process.poll() is not None

    until(has_ended, "it gives up", patience=60)
    dev.wait()
    assert dev.process.returncode == 1
    assert dev.ended_with["type"] == "DevError"
    assert "Redis ends again and again (killed by SIGKILL): see " in dev.ended_with["message"]
    assert gone(family)


@pytest.mark.slow
def test_api_and_flower_that_are_killed_come_back_where_they_were(start: Start) -> None:
    dev = start()
    api = Api(**dev.ready["api"])
    flower = dev.ready["flower"]
    for word, name in (("cli serve", "the API"), ("celery", "Flower")):
        until(lambda: api_answers(api), "the API answers")
        dev.kill(word)
        until(lambda name=name: dev.has_said(f"{name} has ended (pid "), "it says so")
    until(lambda: api_answers(api), "the API is back, for the same token")
    until(lambda: flower_says(flower, flower["password"]) == 200, "Flower is back")
    dev.end()
    assert dev.process.returncode == 0
