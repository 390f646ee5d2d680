"""list, show, history, effects, blocked, workers and backlog on rows of every kind."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, text

from saga.core.states import SagaStatus, StepState
from tests.cli.commands import Done, run
from tests.storage.rows import Rows

READY, RUNNING, RETRYING = StepState.READY, StepState.RUNNING, StepState.RETRYING
NASTY = "evil\x1b[2J\r\nname\u202e"
SPELLED = "evil\\x1b[2J\\r\\nname\\u202e"

Ask = Callable[..., Done]


@pytest.fixture
def ask(database_url: str) -> Ask:
    """A command that succeeds, on the test's database."""

    def asked(*arguments: str) -> Done:
        done = run(*arguments, SAGA_DATABASE_URL=database_url)
        assert done.code == 0, done
        return done

    return asked


def test_nothing_is_there_yet(ask: Ask) -> None:
    assert ask("list").stdout == "No sagas.\n"
    assert ask("effects").stdout == "No effects in the last day.\n"
    assert ask("blocked").stdout == "Nothing is blocked.\n"
    assert ask("approvals").stdout == "Nothing waits for an approval.\n"
    assert ask("workers").stdout.startswith("No workers: start one with")
    assert ask("backlog").stdout == "No work, and no workers.\n"
    assert ask("list", "--json").json == {"sagas": [], "next": None}


def test_list(ask: Ask, rows: Rows) -> None:
    saga_id = rows.saga("order", attributes={"tenant": 7}, key="k")
    rows.step(saga_id, 1, StepState.WAITING, kind="approval", name="big")
    rows.saga("refund", SagaStatus.COMPLETED)
    shown = ask("list").stdout
    assert "order v1" in shown
    assert "big (waiting)" in shown
    titles = "ID SAGA KEY STATUS STARTED TOOK NOW AT ERROR"
    assert shown.splitlines()[0].split() == titles.split()
    (only,) = ask("list", "-a", "tenant=7", "--json").json["sagas"]
    assert (only["id"], only["key"], only["doing"]) == (str(saga_id), "k", [["big", "waiting"]])
    (ended,) = ask("list", "--status", "completed", "--since", "1h", "--json").json["sagas"]
    assert ended["name"] == "refund"
    assert ended["created_at"].endswith("Z")


def test_list_shows_errors_and_keys(ask: Ask, rows: Rows) -> None:
    error = {"type": "Declined", "message": "the card\nwas stolen", "name": "pay"}
    rows.saga("order", SagaStatus.FAILED, error=error, key="o-1")
    row = ask("list", "--step", "pay", "--error", "card").stdout.splitlines()[1]
    assert " o-1 " in row
    assert row.endswith("Declined: the card")
    assert ask("list", "--older-than", "1h").stdout == "No sagas.\n"
    assert ask("show", "o-1", "--json").json["saga"]["key"] == "o-1"


def test_stats(ask: Ask, rows: Rows) -> None:
    rows.saga("order", SagaStatus.FAILED, error={"type": "Declined", "message": "no"})
    rows.saga("order")
    shown = ask("stats").stdout.splitlines()
    assert [line.split() for line in shown] == [
        ["SAGAS", "STATUS"],
        ["1", "failed"],
        ["1", "running"],
    ]
    assert ask("stats", "--by", "name,error", "--json").json == {
        "by": ["name", "error"],
        "counts": [
            {"name": "order", "error": "Declined: no", "count": 1},
            {"name": "order", "error": None, "count": 1},
        ],
    }
    assert ask("stats", "--name", "parcel").stdout == "No sagas.\n"


def test_list_in_pages(ask: Ask, rows: Rows) -> None:
    for _ in range(3):
        rows.saga()
    first = ask("list", "--limit", "2", "--json").json
    rest = ask("list", "--limit", "2", "--json", "--cursor", first["next"]).json
    assert (len(first["sagas"]), len(rest["sagas"]), rest["next"]) == (2, 1, None)
    assert f"More: --cursor {first['next']}" in ask("list", "--limit", "2").stdout


def test_show_tells_the_whole_story(ask: Ask, rows: Rows) -> None:
    worker = rows.worker("host:7", "stock")
    saga_id = rows.saga("order", key="k", input={"item": "a"}, age=timedelta(minutes=2))
    path = [READY, RUNNING, RETRYING, READY, RUNNING, StepState.SUCCEEDED]
    rows.step(saga_id, 1, path=path, worker=worker, result={"id": 1})
    later = func.now() + timedelta(seconds=90)
    rows.step(
        saga_id, 2, path=path[:3], worker=worker, name="charge", due_at=later, reason="E: 503"
    )
    due = func.now() + timedelta(days=1)
    rows.step(saga_id, 3, StepState.WAITING, kind="approval", name="big", due_at=due)
    rows.step(saga_id, 4, READY, name="dust", note="no worker knows this step", wakes=3)
    shown = ask("show", str(saga_id), "--payloads").stdout
    for part in [
        f"order v1  {saga_id}  running  for 2 min",
        'input      {"item": "a"}',
        "attempt 1 on host:7: retrying after",
        'result {"id": 1}',
        "next attempt in 1 min",
        "approval: big",
        "waits for an answer until 2",
        "for a worker on queue stock; no worker knows this step; 3 wake-ups in vain",
        "Running: step 2 charge next attempt in",
    ]:
        assert part in shown
    in_json = ask("show", str(saga_id)[:8], "--json").json
    assert in_json["verdict"].startswith("Running: ")
    assert [step["state"] for step in in_json["saga"]["steps"]] == [
        "succeeded",
        "retrying",
        "waiting",
        "ready",
    ]
    assert in_json["saga"]["steps"][0]["attempts"][0]["worker"] == "host:7"


def test_history(ask: Ask, rows: Rows) -> None:
    saga_id = rows.saga()
    rows.step(saga_id, 1, name="charge", worker=rows.worker("host:7"))
    rows.step(saga_id, 1, undo=True, name="refund", actor="ann", reason="by hand")
    shown = ask("history", str(saga_id)).stdout
    assert "1 charge       running  succeeded        1  host:7" in shown
    assert "undo 1 refund  running  succeeded        1  ann     by hand" in shown
    told = ask("history", str(saga_id), "--json").json["history"]
    assert [row["seq"] for row in told] == list(range(1, len(told) + 1))


def test_effects(ask: Ask, rows: Rows) -> None:
    saga_id = rows.saga()
    rows.step(saga_id, 1, compensation="release", result={"id": 1})
    rows.step(saga_id, 2, compensation="refund", name="charge")
    rows.step(saga_id, 2, undo=True, name="refund")
    shown = ask("effects", str(saga_id)).stdout
    assert f"{saga_id}:1" in shown
    assert "refund: succeeded" in shown
    (only,) = ask("effects", "--standing", "--since", "1d", "--json").json["effects"]
    assert (only["key"], only["outcome"], only["receipt"]) == (
        f"{saga_id}:1",
        "succeeded",
        {"id": 1},
    )
    (undone,) = ask("effects", "--outcome", "compensated", "--json").json["effects"]
    assert (undone["step"], undone["standing"]) == ("charge", False)
    assert ask("effects", "--step", "mail", "--since", "2d").stdout == "No effects.\n"
    assert ask("effects").stdout.endswith("That is the last day; for more, --since.\n")
    two_days_ago = text("UPDATE saga.step SET started_at = started_at - interval '2 days'")
    rows.connection.execute(two_days_ago)
    assert ask("effects", "--json").json["effects"] == []
    assert ask("effects", "--since", "3d", "--json").json["effects"] != []
    assert ask("effects", str(saga_id), "--json").json["effects"] != []


def test_blocked(ask: Ask, rows: Rows) -> None:
    saga_id = rows.saga()
    error = {"type": "SMTPError", "message": "no such box"}
    rows.step(saga_id, 4, StepState.BLOCKED, undo=True, name="unsend", error=error)
    shown = ask("blocked").stdout
    assert "undo unsend" in shown
    assert "SMTPError: no such box" in shown
    (item,) = ask("blocked", str(saga_id), "--json").json["blocked"]
    assert (item["position"], item["undo"], item["error"]) == (4, True, error)
    rows.step(saga_id, 5, StepState.BLOCKED, name="pay")
    first = ask("blocked", "--limit", "1", "--json").json
    rest = ask("blocked", "--cursor", first["next"], "--json").json
    assert [row["position"] for row in first["blocked"] + rest["blocked"]] == [4, 5]
    assert rest["next"] is None
    assert f"More: --cursor {first['next']}" in ask("blocked", "--limit", "1").stdout


def test_what_no_worker_knows_is_told_like_what_is_blocked(ask: Ask, rows: Rows) -> None:
    """As after a compensation was renamed."""
    saga_id = rows.saga(status=SagaStatus.COMPENSATING)
    why = "worker 1: no step is named 'unsend'"
    now = func.now()
    rows.step(saga_id, 4, StepState.READY, undo=True, name="unsend", note=why, due_at=now)
    rows.step(saga_id, 5, StepState.READY, undo=True, name="others", due_at=now)
    (item,) = ask("blocked", "--json").json["stranded"]
    assert (item["position"], item["undo"], item["note"]) == (4, True, why)
    shown = ask("blocked", str(saga_id)).stdout
    assert "undo unsend" in shown
    assert "Nothing is blocked." not in shown
    assert why in ask("show", str(saga_id)).stdout
    assert ask("backlog", "--json").json["queues"][0]["ready"] >= 1


def test_approvals(ask: Ask, rows: Rows) -> None:
    saga_id = rows.saga("order")
    due = func.now() + timedelta(days=1)
    rows.step(saga_id, 2, StepState.WAITING, kind="approval", name="big", args={"sum": 7})
    rows.step(saga_id, 3, StepState.WAITING, kind="approval", name="small", due_at=due)
    rows.step(rows.saga("parcel"), 1, StepState.WAITING, kind="approval", name="big")
    shown = ask("approvals", "--name", "big", "--saga", "order").stdout.splitlines()
    assert shown[0].split() == ["SAGA", "ID", "POSITION", "APPROVAL", "SINCE", "UNTIL", "DETAILS"]
    assert shown[1].split()[:4] == ["order", str(saga_id), "2", "big"]
    assert (len(shown), shown[1].endswith('{"sum": 7}')) == (2, True)
    first = ask("approvals", "--limit", "2", "--json").json
    assert [row["position"] for row in first["approvals"]] == [2, 3]
    rest = ask("approvals", "--limit", "2", "--json", "--cursor", first["next"]).json
    assert ([row["saga_name"] for row in rest["approvals"]], rest["next"]) == (["parcel"], None)
    assert f"More: --cursor {first['next']}" in ask("approvals", "--limit", "2").stdout
    assert "2  big" in ask("approvals", str(saga_id)[:8]).stdout


def test_workers_and_backlog(ask: Ask, rows: Rows) -> None:
    rows.worker("host:1", "stock")
    rows.worker("host:2", "stock", ended_at=func.now(), ended_why="taken for dead")
    soon = func.now() + timedelta(seconds=2)
    rows.step(rows.saga(), 1, READY, queue="attic", due_at=soon)
    assert "host:2" not in ask("workers").stdout
    assert "taken for dead" in ask("workers", "--all").stdout
    assert "0: nothing will move" in ask("backlog").stdout
    attic, stock = ask("backlog", "--json").json["queues"]
    assert (attic["queue"], attic["ready"], attic["workers"]) == ("attic", 1, 0)
    assert (stock["ready"], stock["workers"]) == (0, 1)


def test_names_of_others_are_spelled_out(ask: Ask, rows: Rows) -> None:
    saga_id = rows.saga(NASTY, key=NASTY, queue=NASTY, attributes={"a": NASTY}, note=NASTY)
    worker = rows.worker(NASTY, NASTY)
    error = {"type": NASTY, "message": NASTY}
    rows.step(saga_id, 1, StepState.BLOCKED, name=NASTY, error=error, worker=worker, reason=NASTY)
    rows.step(saga_id, 2, READY, queue=NASTY, due_at=func.now(), note=NASTY)
    rows.step(saga_id, 3, StepState.WAITING, kind="approval", name=NASTY, args={NASTY: NASTY})
    for arguments in [
        ["list"],
        ["stats", "--by", "name,error,step,queue"],
        ["why", str(saga_id)],
        ["show", str(saga_id), "--payloads"],
        ["history", str(saga_id)],
        ["effects"],
        ["blocked"],
        ["approvals"],
        ["workers"],
        ["backlog"],
    ]:
        shown = ask(*arguments).stdout
        assert not any(c in shown for c in "\x1b\r\u202e"), arguments
        assert SPELLED in shown or SPELLED[:20] in shown, arguments
        in_json = ask(*arguments, "--json").stdout
        assert in_json.isascii()
        assert in_json.rstrip("\n").isprintable()


def test_a_saga_that_does_not_exist(database_url: str, rows: Rows) -> None:
    rows.saga("order")
    for command in (
        ["show"],
        ["history"],
        ["effects"],
        ["approve"],
        ["cancel"],
        ["blocked"],
        ["approvals"],
    ):
        done = run(*command, "0" * 32, "--json", SAGA_DATABASE_URL=database_url)
        assert (done.code, done.error["type"]) == (1, "SagaNotFound")
