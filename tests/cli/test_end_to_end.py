"""A shop with a real worker, run from the command line alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Done, run, run_outside, until


class Shop:
    """Commands on the running shop."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def run(self, *arguments: str) -> Done:
        return run(*arguments, **self._environment)

    def run_outside(self, *arguments: str) -> Done:
        return run_outside(*arguments, **self._environment)

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.code == 0, done
        return done.json

    def start(self, item: str, *options: str) -> str:
        return self.json("start", "order", "--input", json.dumps({"item": item}), *options)["id"]

    def show(self, saga_id: str) -> str:
        return self.run("show", saga_id).stdout

    def await_status(self, saga_id: str, *statuses: str) -> dict[str, Any]:
        def reached() -> Any:
            saga = self.json("show", saga_id)["saga"]
            return saga if saga["status"] in statuses else None

        return until(reached, f"{saga_id} {statuses}")

    def await_step(self, saga_id: str, name: str, state: str) -> dict[str, Any]:
        def reached() -> Any:
            steps = self.json("show", saga_id)["saga"]["steps"]
            return next((s for s in steps if (s["name"], s["state"]) == (name, state)), None)

        return until(reached, f"{saga_id} {name} {state}")


@pytest.fixture
def shop(shop_environment: dict[str, str]) -> Shop:
    return Shop(shop_environment)


def test_start_and_wait(shop: Shop) -> None:
    done = shop.run("start", "order", "--input", '{"item": "tea"}', "--wait", "20", "--json")
    assert done.json["result"] == "reservation of tea"
    shown = shop.show(done.json["id"])
    assert "Completed after" in shown
    assert 'input      {"item": "tea"' in shown


def test_waiting_no_longer_than_it_was_told_to(shop: Shop) -> None:
    start = ("start", "order", "--input", '{"item": "sleep"}', "--wait", "0.1")
    done = shop.run(*start)
    saga_id = done.stdout.strip()
    assert done.code == 3
    assert done.stderr.splitlines() == [
        f"Error: saga {saga_id} is still running, after 100 ms of --wait",
        f"It goes on all the same: see `saga show {saga_id}`.",
    ]
    in_json = shop.run(*start, "--json")
    assert (in_json.code, in_json.stderr, in_json.error["type"]) == (3, "", "NotOver")
    for each in (saga_id, in_json.json["id"]):
        shop.run("cancel", each)
        shop.await_status(each, "cancelled")


def test_start_with_the_code_at_hand(shop: Shop) -> None:
    start = ("--app", "shop", "start", "order", "--json", "--input")
    done = shop.run_outside(*start, '{"item": "tea", "amount": "7"}', "--wait", "20")
    assert done.code == 0, done
    saga = shop.json("show", done.json["id"])["saga"]
    assert saga["input"] == {"item": "tea", "amount": 7}
    refused = shop.run_outside(*start, '{"item": "tea", "amount": "lots"}')
    assert (refused.code, refused.error["type"]) == (1, "InvalidInput")
    assert "order: amount" in refused.error["message"]
    unknown = shop.run_outside("--app", "shop", "start", "ordr")
    assert "did you mean order?" in unknown.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{}", "order: item: missing; want item: string, amount: integer"),
        ('{"item": "a", "amuont": 1}', "order: amuont: unknown; want item: string"),
        ('{"item": 5}', "order: item: want string, not a number"),
    ],
)
def test_start_by_name_checks_the_announced_input(shop: Shop, given: str, message: str) -> None:
    done = shop.run("start", "order", "--input", given, "--json")
    assert done.code == 1
    assert done.error["message"].startswith(message)


def test_start_of_what_nobody_knows(shop: Shop) -> None:
    assert "did you mean order?" in shop.run("start", "ordre").stderr
    assert "version 9" in shop.run("start", "order", "--version", "9").stderr
    assert "did you mean order?" in shop.run("list", "--name", "ordre").stderr


def test_a_key_starts_once(shop: Shop) -> None:
    first = shop.start("tea", "--key", "once")
    assert shop.start("tea", "--key", "once") == first
    other = shop.run("start", "order", "--key", "once", "--input", '{"item": "x"}', "--json")
    assert (other.code, other.error["type"]) == (1, "KeyConflict")


def test_input_from_a_file(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text('{"item": "tea"}')
    done = shop.run("start", "order", "--input", f"@{file}", "-a", "desk=3", "-a", "vip=true")
    saga = shop.json("show", done.stdout.strip())["saga"]
    assert saga["input"]["item"] == "tea"
    assert saga["attributes"] == {"desk": 3, "vip": True}


def test_approve(shop: Shop) -> None:
    saga_id = shop.start("ask")
    shop.await_step(saga_id, "large sum", "waiting")
    assert '{"amount": 5}; waits for an answer' in shop.show(saga_id)
    done = shop.run("approve", saga_id, "--by", "ann", "--reason", "fine\nby me")
    assert (done.code, done.stdout) == (0, "approved by ann\n")
    shop.await_status(saga_id, "completed")
    assert "approved; by ann: fine\\nby me" in shop.show(saga_id)
    again = shop.run("approve", saga_id, "--json")
    assert (again.code, again.error["type"]) == (1, "Conflict")


def test_reject_undoes(shop: Shop) -> None:
    saga_id = shop.start("ask")
    shop.await_step(saga_id, "large sum", "waiting")
    wrong = shop.run("reject", saga_id, "--name", "small sum", "--json")
    assert wrong.error["type"] == "Conflict"
    shop.run("reject", saga_id, "--name", "large sum", "--by", "bob", "--reason", "too much")
    shop.await_status(saga_id, "compensated")
    shown = shop.show(saga_id)
    assert "Compensated: its code failed (Permanent: bob said no: too much at shop.py:" in shown
    assert "undo: release" in shown
    assert "rejected; by bob: too much" in shown


def test_signal(shop: Shop) -> None:
    saga_id = shop.start("paid")
    shop.await_step(saga_id, "payment", "waiting")
    send = ("signal", saga_id, "payment", "--payload", "12", "--dedup-id", "p1")
    assert shop.run(*send).stdout == "sent\n"
    shop.await_status(saga_id, "completed")
    charge = shop.await_step(saga_id, "charge", "succeeded")
    assert charge["args"] == {"item": "paid", "amount": 12}
    late = shop.run("signal", saga_id, "payment", "--json")
    assert (late.code, late.error["type"]) == (1, "SagaEnded")


def test_cancel(shop: Shop) -> None:
    saga_id = shop.start("sleep")
    shop.await_step(saga_id, "sleep", "waiting")
    assert "sleeps until" in shop.show(saga_id)
    assert shop.run("cancel", saga_id, "--reason", "sold out").code == 0
    shop.await_status(saga_id, "cancelled")
    assert "Cancelled: on request (sold out). 1 step was undone (1)" in shop.show(saga_id)
    assert shop.run("cancel", saga_id, "--json").error["type"] == "SagaEnded"


def test_a_failure_in_the_middle_is_undone(shop: Shop) -> None:
    saga_id = shop.start("poor")
    shop.await_status(saga_id, "compensated")
    shown = shop.show(saga_id)
    assert "Compensated: step 2 charge failed (Permanent: card declined at shop.py:" in shown
    (effect,) = shop.json("effects", saga_id, "--outcome", "compensated")["effects"]
    assert effect["step"] == "reserve"


def test_an_undo_that_fails_is_a_work_item(shop: Shop) -> None:
    saga_id = shop.start("stuck")
    shop.await_status(saga_id, "partly_compensated")
    shown = shop.show(saga_id)
    assert "- step 1 reserve: its undo release is blocked: Permanent: the shelf is locked" in shown
    (item,) = shop.json("blocked", saga_id)["blocked"]
    assert (item["position"], item["undo"], item["args"]) == (1, True, {"item": "stuck"})
    (effect,) = shop.json("effects", saga_id, "--standing")["effects"]
    assert (effect["step"], effect["undo"]) == ("reserve", "blocked")


def test_attempts_are_shown_and_their_errors_are_spelled_out(shop: Shop) -> None:
    saga_id = shop.start("flaky")
    shop.await_status(saga_id, "completed")
    shown = shop.show(saga_id)
    assert "attempt 1 on " in shown
    assert "RuntimeError: \\x1b[31mgateway\\r\\nerror \\u202e503" in shown
    assert "\x1b" not in shown
    attempts = shop.await_step(saga_id, "charge", "succeeded")["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["retrying", "succeeded"]


def test_a_queue_without_a_worker_shows_as_backlog(shop: Shop) -> None:
    saga_id = shop.start("attic")
    shop.await_step(saga_id, "dust", "ready")
    attic = next(q for q in shop.json("backlog")["queues"] if q["queue"] == "attic")
    assert attic["ready"] >= 1
    assert "for a worker on queue attic" in shop.show(saga_id)


@pytest.mark.usefixtures("attic_worker")
def test_a_step_that_no_worker_knows_waits_and_says_so(shop: Shop) -> None:
    saga_id = shop.start("attic")
    step = until(
        lambda: next((s for s in shop.json("show", saga_id)["saga"]["steps"] if s["note"]), None),
        "a note",
    )
    assert step["name"] == "dust"
    assert shop.json("show", saga_id)["saga"]["status"] == "running"
    assert step["note"] in shop.show(saga_id)


def test_history_names_worker_and_states(shop: Shop) -> None:
    saga_id = shop.start("tea")
    shop.await_status(saga_id, "completed")
    told = shop.json("history", saga_id)["history"]
    assert [row["seq"] for row in told] == list(range(1, len(told) + 1))
    assert told[-1]["after"] == "completed"
    (worker,) = {row["worker"] for row in told if row["attempt"]}
    assert worker in [row["name"] for row in shop.json("workers")["workers"]]
