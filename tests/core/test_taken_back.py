"""A failure is taken out of the journal: the code goes on as it is today, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from saga.core.declare.definitions import SagaDefinition
from saga.core.loop.commands import Ask, Command
from saga.core.loop.events import Event, Recorded
from saga.core.replay import Doubt, Failed, Run
from saga.errors import Divergence
from tests.core.programs import Program, interpreted
from tests.core.random_programs import programs, something_happens
from tests.core.world import SAGA_ID, START, Row, Seen, World


class Journal(World):
    """A journal in memory out of which failures can be taken."""

    def __init__(self, definition: SagaDefinition[..., Any], *args: Any) -> None:
        self.asked_again: list[int] = []
        self.doubted: set[int] = set()
        self.fresh: list[int] = []
        """Positions that were asked for since the last failure was taken back."""
        super().__init__(definition, *args)

    @property
    def journal(self) -> Any:
        return self.run._loop.journal  # pyright: ignore[reportPrivateUsage]

    def recorded(self, after: int) -> list[Recorded]:
        rows = [row for row in self.rows.values() if row.landed <= after]
        return [
            item._replace(
                again=self._is_again(row),
                args=row.ask.intent.args if row.ask.position in self.doubted else None,
            )
            for item, row in zip(super().recorded(after), rows, strict=True)
        ]

    def _is_again(self, row: Row) -> bool:
        """It failed or was cancelled, and no event of the journal says so."""
        if row.ask.undo or row.is_open or (row.ask.intent.kind == "signal" and row.settled):
            return False
        return not any(e.kind == "settled" and e.position == row.ask.position for e in self.events)

    def retry(self, definition: SagaDefinition[..., Any] | None = None) -> None:
        """Takes back the failure that has ended it; the code of today decides anew."""
        for row in [row for row in self.rows.values() if row.is_underway]:
            self.settle(row, "cancelled", None)  # it was dropped
        failed = next(
            event
            for event in reversed(self.events)
            if event.position == self.error["step"] and event.state == "failed"
        )
        self.fresh = []
        resumed = max(position for position, _ in self.rows) + 1
        for event in self.events[failed.number - 1 :]:
            if event.kind == "settled" and event.state in ("failed", "cancelled"):
                at = resumed if event is failed else 0
                self.events[event.number - 1] = Event(event.number, event.at, "taken_back", at)
        self.definition = definition or self.definition
        self._decide_anew()

    def _decide_anew(self) -> None:
        self.run.close()
        held = self.recorded(len(self.events))
        self.run = Run(self.definition, SAGA_ID, self.input, START, held, self.order)
        self.run.catch_up(self.events)
        self._decide()

    def _decide(self) -> None:
        try:
            decision = self.run.decide()
        except Doubt as doubt:
            if self.doubted.issuperset(doubt.positions):
                raise
            self.doubted.update(doubt.positions)
            self._decide_anew()
            return
        again = [one for one in decision.commands if isinstance(one, Ask) and one.again]
        for ask in again:
            key = ask.position, ask.undo
            assert self._is_again(self.rows[key])
            self.rows[key] = Row(ask._replace(again=False), len(self.events))
            self.asked_again.append(ask.position)
        if again:
            self._decide_anew()
            return
        self.last = decision.commands
        for command in decision.commands:
            self._land(command)
        self.seen.append(Seen(decision.verdict, decision.exposed))

    def _land(self, command: Command) -> None:
        if isinstance(command, Ask):  # it may be asked for in the midst of what has happened
            command = command._replace(after=len(self.events))
            self.fresh += [] if command.undo else [command.position]
        super()._land(command)

    def check(self) -> None:
        """A replay from scratch asks for nothing else, and ends in the same way."""
        decision = self.replay(len(self.events))
        assert decision.commands == ()
        assert Seen(decision.verdict, decision.exposed) == self.seen[-1]


_SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
_steps = st.tuples(
    st.just("step"), st.sampled_from(["plain", "undoable", "child"]), st.integers(0, 3)
)
_quiet = st.recursive(
    _steps,
    lambda smaller: st.one_of(
        st.tuples(st.sampled_from(["seq", "group"]), st.lists(smaller, min_size=1, max_size=3)),
        st.tuples(st.just("gather"), st.lists(smaller, min_size=1, max_size=3), st.booleans()),
        st.tuples(st.sampled_from(["try", "finally", "event"]), smaller, smaller),
        st.tuples(st.just("scope"), smaller),
    ),
    max_leaves=8,
)
"""Programs in which nothing but a step that fails makes a difference."""


def _journal(program: Program) -> Journal:
    return Journal(interpreted, _as_stored(program))


def _as_stored(program: Program) -> Program:
    return json.loads(json.dumps(program))


@settings(deadline=None, max_examples=60, suppress_health_check=_SLOW)
@given(programs, st.data())
def test_any_program_goes_on_after_its_failure(program: Any, data: st.DataObject) -> None:
    """It may fail and go on several times: no position is taken twice, nothing that could be
    adopted is asked for anew, and a replay finds all of it as it was.
    """
    resumed = 0
    with _journal(program) as world:
        for _ in range(data.draw(st.integers(1, 3))):
            _something_happens(world, data)
            assume(_can_be_retried(world))
            resumed = max(position for position, _ in world.rows) + 1
            world.retry()
            world.check()
        _something_happens(world, data)
        world.check()
        assert all(position >= resumed for position in world.fresh)
        signatures = {
            (*row.ask.intent.signature, row.ask.intent.digest)
            for row in world.rows.values()
            if row.ask.position in world.fresh and row.ask.intent.kind in ("step", "child")
        }
        for position, asked in enumerate(world.journal.asked[: resumed - 1], 1):
            # What was given up in the decision that asked for it never became a row.
            if asked is None and (position, False) in world.rows:
                intent = world.rows[position, False].ask.intent
                assert (*intent.signature, intent.digest) not in signatures


@settings(deadline=None, max_examples=100, suppress_health_check=_SLOW)
@given(_quiet, st.booleans(), st.data())
def test_it_ends_as_if_it_had_not_failed(program: Any, mend: bool, data: st.DataObject) -> None:
    """The mended code, from its start, asks for the same, and for nothing else."""
    with _journal(program) as world:
        before = data.draw(st.integers(0, 6))
        while world.is_waiting:
            row = data.draw(st.sampled_from([r for r in world.rows.values() if r.is_underway]))
            if before:
                world.settle(row, "succeeded", "7")
            else:
                world.fail(row.ask.position)
            before -= 1
        assume(_can_be_retried(world))
        tag = json.loads(world.rows[world.error["step"], False].ask.intent.args).get("tag")
        args = "".join(row.ask.intent.args for row in world.rows.values())
        code = program = _as_stored(program)
        if mend and tag is not None and args.count(f'"tag":{tag}}}') == 1:
            code = _mended(program, tag)
        with _patched(code) as definition:
            world.retry(definition)
            _all_succeed(world, data)
            world.check()
            with Journal(definition, _as_stored(program)) as plain_run:
                _all_succeed(plain_run, data)
                assert sorted(map(str, world.result)) == sorted(map(str, plain_run.result))
                assert _asked(world) == _asked(plain_run)


def _mended(program: Program, tag: int) -> Program:
    """The same with other arguments in place of some."""
    if program[:1] == ["step"]:
        return ["step", program[1], tag + 10] if program[2] == tag else program
    parts: list[Any] = program
    return [_mended(part, tag) if isinstance(part, list) else part for part in parts]  # pyright: ignore[reportUnknownArgumentType]


@contextmanager
def _patched(program: Program) -> Generator[SagaDefinition[..., Any]]:
    """Code that runs this, whatever its input says."""

    async def body(program: Any) -> list[Any]:
        return await interpreted.call({"program": _as_stored(code)})

    code = program
    yield SagaDefinition(body, name="interpreted")


def _all_succeed(world: Journal, data: st.DataObject) -> None:
    while world.is_waiting:
        row = data.draw(st.sampled_from([r for r in world.rows.values() if r.is_underway]))
        world.settle(row, "succeeded", "7")


def _asked(world: Journal) -> list[str]:
    return sorted(str(asked) for asked in world.journal.asked if asked is not None)


def _something_happens(world: Journal, data: st.DataObject) -> None:
    for _ in range(15):
        if not world.is_waiting or not any(row.is_underway for row in world.rows.values()):
            return
        something_happens(world, data)


def _can_be_retried(world: Journal) -> bool:
    if not isinstance(world.verdict, Failed) or "step" not in world.error:
        return False
    return not any(row.ask.undo for row in world.rows.values())  # else something is undone


@pytest.fixture
def world() -> Generator[Journal]:
    """A step that failed, and one that its code asked for then."""
    with _journal(["finally", ["step", "plain", 1], ["step", "plain", 2]]) as made:
        made.fail(1)
        made.succeed(2, 7)
        yield made


def test_what_was_asked_after_it_is_adopted(world: Journal) -> None:
    world.retry()
    assert world.asked_again == [1]
    world.succeed(1, 7)
    assert not world.is_waiting
    assert sorted(world.rows) == [(1, False), (2, False)]


def test_what_is_asked_otherwise_gets_a_position_of_its_own(world: Journal) -> None:
    with _patched(["finally", ["step", "plain", 5], ["step", "plain", 6]]) as definition:
        world.retry(definition)
        assert json.loads(world.rows[1, False].ask.intent.args) == {"tag": 5}
        world.succeed(1, 7)
        assert world.fresh == [3]


@pytest.mark.parametrize("name", ["saga.taken_back", "go"])
def test_a_signal_is_never_taken_for_a_failure(world: Journal, name: str) -> None:
    world.retry()
    world.signal(name, {"position": 1, "resumed": 99})
    world.succeed(1, 7)
    assert not world.is_waiting
    world.check()


def test_what_may_have_happened_is_held_to_its_arguments(world: Journal) -> None:
    item = Recorded(1, False, "step", "plain", True, 1, '{"tag":1}', again=True, in_doubt=True)
    with _patched(["step", "plain", 5]) as definition:
        run = Run(definition, SAGA_ID, world.input, START, [item])
        with pytest.raises(Divergence) as caught:
            run.decide()
        run.close()
    for words in ('{"tag":1}', '{"tag":5}', "may have had an effect"):
        assert words in caught.value.arguments
