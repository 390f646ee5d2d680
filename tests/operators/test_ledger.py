"""The ledger after real runs: what did this do to the outside world, and what still stands?"""

import hashlib
import json
from datetime import timedelta
from uuid import UUID

from saga.engine.attempt.work import Outcome
from saga.storage.queries import Effect, EffectFilter, effects, reader, snapshot
from tests.operators.code import sagas
from tests.operators.stage import Stage
from tests.operators.test_commands import saga as command


def ledger(stage: Stage, wanted: EffectFilter) -> list[Effect]:
    engine = reader(stage.arena.database_url, pool_size=1)
    try:
        with snapshot(engine) as connection:
            return list(effects(connection, wanted).rows)
    finally:
        engine.dispose()


def outcomes(stage: Stage, saga: UUID) -> dict[int, tuple[str, bool]]:
    """Outcome and whether it stands, by position."""
    return {
        effect.position: (effect.outcome, effect.standing)
        for effect in ledger(stage, EffectFilter(saga))
    }


def test_a_completed_saga_stands(stage: Stage) -> None:
    saga = stage.start(sagas.parcel)
    assert outcomes(stage, saga) == dict.fromkeys(range(2, 7), ("succeeded", True))
    first = ledger(stage, EffectFilter(saga))[0]
    assert first.key == f"{saga}:2" == stage.arena.ledger.applied[0]
    assert first.receipt == f"book {saga}:2"
    text = json.dumps({"item": 1})
    assert first.args_hash == hashlib.sha256(text.encode()).hexdigest()
    assert (first.step, first.attempts, first.compensation) == ("book", 1, "unbook")


def test_a_compensated_saga_stands_as_far_as_it_could_not_be_undone(stage: Stage) -> None:
    saga = stage.start(sagas.parcel)
    stage.ann.compensate(saga, reason="a mistake")
    stage.run()
    assert outcomes(stage, saga) == {
        2: ("compensated", False),
        3: ("compensated", False),
        4: ("compensated", False),
        5: ("succeeded", True),
        6: ("compensated", False),
    }
    assert [e.step for e in ledger(stage, EffectFilter(standing=True))] == stage.stands()
    shown = command(stage, "show", str(saga)).stdout
    assert "- step 5 tell stands: it has no compensation" in shown
    assert "nothing of it stands" not in shown


def test_what_is_claimed_failed_and_unknown(stage: Stage) -> None:
    stage.troubles.make("ship", "fail")
    saga = stage.arena.start(sagas.pair_of_steps, key="one").id
    stage.process.advance(saga)
    assert outcomes(stage, saga) == {1: ("succeeded", True), 2: ("claimed", False)}
    stage.run()
    assert outcomes(stage, saga) == {1: ("compensated", False), 2: ("failed", False)}
    stage.troubles.make("pay", "unknown")
    asked = stage.start(sagas.payment, key="two")
    assert outcomes(stage, asked) == {1: ("succeeded", True), 2: ("unknown", True)}
    stage.ann.resolve(asked, 2, "skip", reason="never mind")
    stage.run()
    assert outcomes(stage, asked) == {1: ("compensated", False), 2: ("compensated", False)}


def test_a_claim_stands_in_the_ledger_before_the_effect(stage: Stage) -> None:
    gate = stage.arena.ledger.hold("do", "book")
    stage.worker()
    saga = stage.arena.start(sagas.order, key="one").id
    stage.arena.until(lambda: gate.arrived, "the effect is about to happen")
    assert not stage.arena.ledger.applied
    assert outcomes(stage, saga) == {1: ("claimed", False)}
    gate.open()
    stage.arena.until_over(saga)


def test_a_late_success_stands(stage: Stage) -> None:
    """The code has gone on without the step; then its first attempt comes back."""
    saga = stage.arena.start(sagas.hasty, key="one").id
    work = stage.process.conductor.advance(saga)
    assert work is not None
    stage.arena.take_over(stage.process)
    stage.troubles.make("ship", "unknown_before")
    stage.run()
    assert stage.status(saga) == "completed"
    assert outcomes(stage, saga)[1] == ("unknown", True)
    receipt = stage.arena.ledger.ask("do", "ship", f"{saga}:1", 1)[1]
    stage.settle(work, Outcome("succeeded", json.dumps(receipt)))
    assert stage.status(saga) == "completed"
    assert outcomes(stage, saga)[1] == ("succeeded", True)
    assert ledger(stage, EffectFilter(saga))[0].receipt == receipt
    stage.ann.compensate(saga, reason="all of it")
    stage.run()
    assert (stage.status(saga), stage.undone(saga)) == ("compensated", [1])


def test_the_command(stage: Stage) -> None:
    saga = stage.start(sagas.parcel)
    other = stage.start(sagas.order, 1, key="two")
    stage.ann.compensate(other, reason="a mistake")
    stage.run()
    rows = command(stage, "effects", str(saga), "--json").json["effects"]
    assert [row["position"] for row in rows] == [2, 3, 4, 5, 6]
    standing = command(stage, "effects", "--standing", "--since", "1d", "--json").json["effects"]
    assert {row["saga_id"] for row in standing} == {str(saga)}
    assert {row["outcome"] for row in standing} == {"succeeded"}
    assert ledger(stage, EffectFilter(standing=True, since=timedelta(days=1)))
    stage.arena.records.query("UPDATE saga.step SET started_at = now() - interval '2 days'")
    assert not ledger(stage, EffectFilter(standing=True, since=timedelta(days=1)))
