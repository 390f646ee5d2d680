"""The operators' commands, against the engine in this process."""

from typing import Any
from uuid import UUID

from tests.cli.commands import Done, run
from tests.operators.code import sagas
from tests.operators.stage import Stage


def saga(stage: Stage, *arguments: str) -> Done:
    return run(
        *arguments,
        SAGA_DATABASE_URL=stage.arena.database_url,
        SAGA_BROKER_URL=stage.arena.broker_url,
    )


def order(stage: Stage, key: str = "one") -> UUID:
    return stage.start(sagas.order, key=key)


def test_a_dry_run_shows_what_would_be_undone_and_changes_nothing(stage: Stage) -> None:
    found = stage.start(sagas.parcel)
    done = saga(stage, "compensate", str(found), "--dry-run", "--json")
    assert done.code == 0
    (preview,) = done.json["previews"]
    assert [(undo["wave"], undo["position"]) for undo in preview["undos"]] == [
        (1, 6),
        (2, 4),
        (2, 3),
        (3, 2),
    ]
    assert preview["undos"][0] == {
        "wave": 1,
        "position": 6,
        "step": "ship",
        "compensation": "unship",
        "queue": "default",
        "result": f"ship {found}:6",
        "args": {"item": 5},
        "provisional": False,
    }
    assert preview["stands"] == [
        {"position": 5, "step": "tell", "why": "it has no compensation"},
    ]
    shown = saga(stage, "compensate", str(found), "--dry-run", "--from", "3").stdout
    assert "step 5 tell stays as it is: it has no compensation" in shown
    assert "step 2 book stays as it is: it is not among those chosen" in shown
    assert "If every undo succeeds it ends partly_compensated." in shown
    assert stage.status(found) == "completed"


def test_a_dry_run_says_what_would_be_refused(stage: Stage) -> None:
    found = stage.start(sagas.entries, 1)
    looked = saga(stage, "compensate", str(found), "--dry-run")
    refused = saga(stage, "compensate", str(found), "--reason", "a mistake")
    assert (looked.code, refused.code) == (0, 1)
    assert looked.stdout.removeprefix("It would be refused: ") == (
        refused.stderr.removeprefix("Error: ")
    )
    (preview,) = saga(stage, "compensate", str(found), "--dry-run", "--json").json["previews"]
    assert (preview["undos"], preview["verdict"]) == ([], "completed")
    assert "nothing to undo" in preview["refused"]


def test_a_dry_run_of_what_is_only_stopped(stage: Stage) -> None:
    found = stage.start(sagas.choices, [5])
    shown = saga(stage, "compensate", str(found), "--dry-run").stdout
    assert shown.splitlines() == [
        f"{found} would be stopped, and nothing undone.",
        "So it ends compensated.",
    ]


def test_compensate(stage: Stage) -> None:
    found = order(stage)
    nothing = saga(stage, "compensate", str(found))
    assert (nothing.code, "option '--reason'. Say why" in nothing.stderr) == (2, True)
    arguments = ("compensate", str(found), "--only", "2", "--reason", "a mistake", "--by", "ann")
    assert saga(stage, *arguments).code == 0
    again = saga(stage, *arguments, "--json")
    assert (again.code, again.error["type"]) == (1, "Conflict")
    stage.run()
    assert stage.undone(found) == [2]
    assert [(row.actor, row.action, row.details) for row in stage.audit()] == [
        ("ann", "compensate", {"only": [2], "from": None})
    ] * 2
    shown = saga(stage, "show", str(found)).stdout
    assert "Partly compensated: by hand (a mistake). 1 step was undone (2)" in shown
    assert "- step 1 book was not among those chosen" in shown


def test_blocked_and_resolve(stage: Stage) -> None:
    found = order(stage)
    stage.troubles.make("unbook")
    stage.ann.compensate(found, reason="a mistake")
    stage.run()
    items = saga(stage, "blocked", "--json").json["blocked"]
    assert [(item["position"], item["undo"]) for item in items] == [
        (3, True),
        (2, True),
        (1, True),
    ]
    stage.troubles.end("unbook")
    assert saga(stage, "resolve", str(found), "3", "retry", "--undo").code == 0
    skipped = saga(stage, "resolve", str(found), "2", "skip", "--by", "bob")
    assert (skipped.code, "option '--reason'. Say why" in skipped.stderr) == (2, True)
    assert saga(stage, "resolve", str(found), "2", "skip", "--reason", "theirs").code == 0
    assert saga(stage, "resolve", str(found), "1", "done", "--reason", "by phone").code == 0
    stage.arena.ledger.undone.append(f"{found}:1")  # by phone, that is
    forward = saga(stage, "resolve", str(found), "1", "done", "--forward", "--json")
    assert (forward.code, forward.error["type"]) == (1, "Conflict")
    stage.run()
    assert stage.status(found) == "partly_compensated"
    assert saga(stage, "blocked", "--json").json["blocked"] == []


def test_a_result_is_json(stage: Stage) -> None:
    stage.troubles.make("pay", "unknown")
    found = stage.start(sagas.payment)
    done = saga(stage, "resolve", str(found), "2", "done", "--result", '"receipt 7"')
    assert done.code == 0
    stage.run()
    assert stage.arena.client.handle(found).result(0) == "receipt 7"


def failed(stage: Stage, count: int) -> list[UUID]:
    stage.troubles.make("look", "nobody there")
    found = [stage.start(sagas.crowd, 1, key=f"{n}") for n in range(count)]
    assert {stage.status(one) for one in found} == {"failed"}
    return found


def test_retry(stage: Stage) -> None:
    (found,) = failed(stage, 1)
    stage.troubles.end("look")
    assert saga(stage, "retry", str(found), "--reason", "it is back").code == 0
    assert stage.status(found) == "running"
    stage.run()
    assert stage.status(found) == "completed"


def test_a_canary_first_and_then_all(stage: Stage) -> None:
    found = failed(stage, 4)
    stage.troubles.end("look")
    neither = saga(stage, "retry", "--name", "crowd")
    assert (neither.code, "--limit N to try a few first" in neither.stderr) == (2, True)
    canary = saga(stage, "retry", "--name", "crowd", "--limit", "1", "--json").json
    assert canary == {"done": [str(found[-1])], "refused": [], "stopped": False}
    stage.run()
    rest = saga(stage, "retry", "--name", "crowd", "--since", "1h", "--all", "--json").json
    assert rest["done"] == [str(one) for one in reversed(found[:-1])]
    stage.run()
    assert {stage.status(one) for one in found} == {"completed"}
    nobody = saga(stage, "retry", "--name", "crowd", "--all")
    assert (nobody.code, nobody.stdout) == (0, "nothing fits the filter\n")


def test_it_stops_at_the_first_that_is_refused(stage: Stage) -> None:
    found: list[Any] = [stage.start(sagas.order, key="1"), stage.start(sagas.entries, 1, key="2")]
    found.append(stage.start(sagas.order, key="3"))
    arguments = ("compensate", "--status", "completed", "--all", "--reason", "all", "--json")
    stopped = saga(stage, *arguments)
    assert stopped.code == 1
    assert stopped.json["done"] == [str(found[2])]
    assert [refusal["id"] for refusal in stopped.json["refused"]] == [str(found[1])]
    assert stopped.json["stopped"] is True
    assert stage.status(found[0]) == "completed"
    going = saga(stage, *arguments, "--keep-going")
    assert going.json["done"] == [str(found[0])]
    stage.run()
    assert [stage.status(one) for one in found] == ["compensated", "completed", "compensated"]


def test_waiting_for_the_canary(stage: Stage) -> None:
    found = failed(stage, 2)
    stage.arena.ready(stage.worker())
    arguments = ("retry", "--name", "crowd", "--all", "--wait", "60", "--json")
    worse = saga(stage, *arguments)
    assert worse.code == 1
    assert [refusal["type"] for refusal in worse.json["refused"]] == ["SagaFailed"]
    assert worse.json["stopped"] is True
    stage.troubles.end("look")
    better = saga(stage, *arguments)
    assert (better.code, len(better.json["done"])) == (0, 2)
    assert better.json["statuses"] == {str(one): "completed" for one in found}
    assert {stage.status(one) for one in found} == {"completed"}


def test_what_was_taken_back_is_no_signal_of_anybody(stage: Stage) -> None:
    (found,) = failed(stage, 1)
    stage.ann.retry(found, reason="it is back")
    shown = saga(stage, "show", str(found))
    assert "saga.taken_back" not in shown.stdout
    assert saga(stage, "show", str(found), "--json").json["saga"]["signals"] == []
    told = saga(stage, "history", str(found), "--json").json["history"]
    assert [(row["before"], row["after"]) for row in told if row["actor"] == "ann"] == [
        ("failed", "running")
    ]


def test_waiting_says_how_each_ended(stage: Stage) -> None:
    found = [str(order(stage, key)) for key in ("one", "two", "three", "four")]
    stage.arena.ready(stage.worker())
    arguments = ("--reason", "a mistake", "--wait", "60")
    one = saga(stage, "compensate", found[0], *arguments)
    assert (one.code, one.stdout) == (0, f"saga {found[0]} is compensated\n")
    some = saga(stage, "compensate", found[1], *arguments, "--only", "2")
    assert (some.code, some.stdout) == (0, f"saga {found[1]} is partly_compensated\n")
    stage.troubles.make("unbook")
    rest = saga(stage, "compensate", *found[1:], *arguments, "--keep-going", "--json")
    assert (rest.code, rest.json["done"]) == (1, [])
    assert rest.json["statuses"] == dict.fromkeys(found[1:], "partly_compensated")
    stuck = saga(stage, "compensate", *found[1:], *arguments, "--keep-going")
    assert stuck.stdout.count("refused: ") == 3


def test_what_is_not_over_when_the_waiting_ends_goes_on(stage: Stage) -> None:
    found = [str(order(stage, key)) for key in ("one", "two", "three")]
    arguments = ("--reason", "a mistake", "--wait", "0.05")
    one = saga(stage, "compensate", found[0], *arguments)
    assert (one.code, one.stdout) == (3, f"{found[0]}\n")
    assert f"saga {found[0]} is still compensating, after 50 ms of --wait" in one.stderr
    assert f"It goes on all the same: see `saga show {found[0]}`." in one.stderr
    both = saga(stage, "compensate", *found[1:], *arguments, "--keep-going", "--json")
    assert both.code == 3
    assert [refusal["type"] for refusal in both.json["refused"]] == ["NotOver"] * 2
    stage.run()
    assert {stage.status(UUID(one)) for one in found} == {"compensated"}
