"""Many sagas by one command: dry run, a few first, stop at what is refused, audited one by one."""

from collections.abc import Sequence
from uuid import UUID

from tests.cli.commands import Done, run, spawn, until
from tests.operators.code import sagas
from tests.operators.stage import Stage


def saga(stage: Stage, *arguments: str) -> Done:
    return run(
        *arguments,
        SAGA_DATABASE_URL=stage.arena.database_url,
        SAGA_BROKER_URL=stage.arena.broker_url,
    )


def acts(stage: Stage, action: str) -> list[UUID]:
    """Of the audit trail, without what was refused."""
    rows = stage.audit()
    return [row.saga_id for row in rows if row.action == action and row.refused is None]


def blocked_orders(stage: Stage, count: int) -> list[UUID]:
    """Compensated in part: each has three undos that wait for a person, of one cause."""
    found = [stage.start(sagas.order, key=f"{n}") for n in range(count)]
    stage.troubles.make("unbook")
    for one in found:
        stage.ann.compensate(one, reason="a mistake")
    stage.run()
    stage.troubles.end("unbook")
    return found


def asking(stage: Stage, *amounts: Sequence[int]) -> list[UUID]:
    return [stage.start(sagas.choices, list(some), key=f"{some}") for some in amounts]


def test_blocked_undos_of_one_cause_are_one_command(stage: Stage) -> None:
    found = blocked_orders(stage, 4)
    cause = ("--step", "unbook", "--error", "OUT OF order")
    assert len(saga(stage, "blocked", *cause, "--json").json["blocked"]) == 12
    assert saga(stage, "blocked", "--error", "nothing like it", "--json").json["blocked"] == []
    shown = saga(stage, "resolve", "retry", *cause, "--dry-run")
    assert (shown.code, "12 actions; nothing was done." in shown.stdout) == (0, True)
    assert acts(stage, "retry") == []
    neither = saga(stage, "resolve", "retry", *cause)
    assert (neither.code, "--limit N to try a few first" in neither.stderr) == (2, True)
    canary = saga(stage, "resolve", "retry", *cause, "--limit", "1", "--json").json
    assert [(place["position"], place["undo"]) for place in canary["done"]] == [(3, True)]
    rest = saga(stage, "resolve", "retry", *cause, "--all", "--reason", "it is back").stdout
    assert rest == "11 places: it is tried again: see `saga show`\n"
    assert len(acts(stage, "retry")) == 12
    stage.run()
    assert {stage.status(one) for one in found} == {"compensated"}
    assert saga(stage, "resolve", "retry", *cause, "--all").stdout == "nothing fits the filter\n"


def test_only_steps_or_only_undos_are_resolved(stage: Stage) -> None:
    stage.troubles.make("pay", "unknown")
    stage.start(sagas.payment)
    blocked_orders(stage, 1)
    would = saga(stage, "resolve", "skip", "--all", "--forward", "--since", "1h", "--dry-run")
    assert "2 pay" in would.stdout
    assert "1 action; nothing was done." in would.stdout
    skip = ("resolve", "skip", "--all", "--undo", "--since", "1h")
    assert saga(stage, *skip).code == 2  # no reason
    done = saga(stage, *skip, "--reason", "theirs", "--json").json["done"]
    assert [place["undo"] for place in done] == [True] * 3


def test_approvals_of_a_filter(stage: Stage) -> None:
    one, two, three = asking(stage, [5], [6, 7], [8])
    assert saga(stage, "approve", "--name", "pay").code == 2  # which sagas?
    would = saga(stage, "approve", "--saga", "choices", "--dry-run", "--json").json["would"]
    assert [(place["id"], place["position"]) for place in would] == [
        (str(one), 1),
        (str(two), 1),
        (str(two), 2),
        (str(three), 1),
    ]
    assert would[1]["details"] == {"amount": 6}
    canary = saga(stage, "approve", "--saga", "choices", "--limit", "1", "--by", "bob").stdout
    assert canary == "1 place: approved by bob\n"
    waiting = ("--saga", "choices", "--waits-for", "approval:pay", "--name", "pay")
    rejected = saga(stage, "reject", *waiting, "--all", "--reason", "too late", "--json").json
    assert [place["id"] for place in rejected["done"]] == [str(two), str(two), str(three)]
    stage.run()
    assert [stage.arena.client.handle(each).result(0) for each in (one, two, three)] == [
        [True],
        [False, False],
        [False],
    ]
    assert (acts(stage, "approve"), acts(stage, "reject")) == ([one], [two, two, three])


def test_cancel_stops_at_what_is_refused(stage: Stage) -> None:
    """Each saga is a transaction of its own: those before are stopped, those after are not."""
    one, two, three = asking(stage, [5], [6], [7])
    would = saga(stage, "cancel", "--waits-for", "approval", "--dry-run", "--json").json["would"]
    assert [each["id"] for each in would] == [str(three), str(two), str(one)]
    stage.ann.cancel(two)
    arguments = ("cancel", str(three), str(two), str(one), "--json")
    stopped = saga(stage, *arguments)
    assert (stopped.code, stopped.json["done"], stopped.json["stopped"]) == (1, [str(three)], True)
    assert [refusal["id"] for refusal in stopped.json["refused"]] == [str(two)]
    stage.run()
    statuses = [stage.status(each) for each in (one, two, three)]
    assert statuses == ["running", "cancelled", "cancelled"]
    assert saga(stage, "cancel", "--name", "choices", "--all").code == 0
    assert acts(stage, "cancel") == [two, three, one]


def test_a_signal_to_all_that_wait_for_it(stage: Stage) -> None:
    found = [stage.start(sagas.waiting_leg, key=f"{n}") for n in range(3)]
    waiting = ("--waits-for", "signal:go")
    would = saga(stage, "signal", "go", *waiting, "--dry-run", "--json").json["would"]
    assert len(would) == 3
    canary = saga(stage, "signal", "go", *waiting, "--limit", "1", "--json").json
    assert canary["done"] == [str(found[2])]
    stage.run()
    assert saga(stage, "signal", "go", *waiting, "--all").stdout == "2 sagas: sent\n"
    stage.run()
    assert {stage.status(one) for one in found} == {"completed"}
    named = saga(stage, "signal", str(found[0]), "go")
    assert (named.code, "takes no signals" in named.stderr) == (1, True)


def test_the_whole_filter_narrows_a_retry(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    found = [
        stage.arena.start(sagas.crowd, 1, key=f"{n}", attributes={"n": n}).id for n in range(3)
    ]
    stage.run()
    stage.troubles.end("look")
    narrow = ("retry", "--step", "look", "-a", "n>=1", "-a", "n<2", "--all", "--json")
    assert saga(stage, *narrow).json["done"] == [str(found[1])]
    stage.run()
    assert [stage.status(one) for one in found] == ["failed", "completed", "failed"]
    by_key = saga(stage, "retry", "0", "2", "--json")
    assert by_key.json["done"] == [str(found[0]), str(found[2])]


def test_what_was_said_of_several_is_on_several_lines(stage: Stage) -> None:
    found = [str(one) for one in asking(stage, [5], [6])]
    arguments = ("compensate", *found, "--reason", "x", "--wait", "0", "--keep-going")
    shown = saga(stage, *arguments).stdout
    assert "\\n" not in shown
    assert len(shown.splitlines()) == 2


def test_a_retry_leaves_children_to_their_parents(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    parents = [stage.start(sagas.failing_journey, key=f"{n}") for n in range(2)]
    stage.troubles.end("look")
    failed = ("--error", "nobody*there", "--status", "failed")
    assert len(saga(stage, "list", *failed, "--json").json["sagas"]) == 4
    one = saga(stage, "retry", *failed, "--limit", "1", "--reason", "it is back")
    assert (one.code, one.stdout) == (0, "1 saga: what failed is tried again: see `saga show`\n")
    (reopened,) = acts(stage, "retry")
    why = saga(stage, "why", str(reopened)).stdout
    assert "It was failed, " in why
    assert "and its code was not asked since." in why
    assert saga(stage, "retry", *failed, "--all").code == 0
    stage.run()
    assert {stage.status(each) for each in parents} == {"completed"}
    assert sorted(acts(stage, "retry")) == sorted(parents)


def test_a_command_killed_in_the_middle_is_finished_by_the_same_again(stage: Stage) -> None:
    """What it has done is done, and written down once; what it has not is as it was."""
    many = 40
    found = asking(stage, *([n] for n in range(many)))
    environment = {
        "SAGA_DATABASE_URL": stage.arena.database_url,
        "SAGA_BROKER_URL": stage.arena.broker_url,
    }
    words = ("cancel", "--waits-for", "approval", "--all", "--reason", "sold out")
    command = spawn(*words, **environment)
    until(lambda: acts(stage, "cancel") or command.poll() is not None, "it is at it")
    command.kill()
    command.communicate()
    before = acts(stage, "cancel")
    assert 0 < len(before) < many, "killed too late to tell"
    asleep = "SELECT id FROM saga.saga WHERE status = 'running'"
    assert {row.id for row in stage.arena.records.query(asleep)} == {*found} - {*before}
    again = saga(stage, *words, "--json").json
    assert (len(again["done"]), again["refused"]) == (many - len(before), [])
    assert sorted(acts(stage, "cancel")) == sorted(found)
    stage.run()
    assert {stage.status(each) for each in found} == {"cancelled"}
