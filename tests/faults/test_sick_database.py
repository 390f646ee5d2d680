"""Postgres answers, but with errors; or one row makes trouble and must not trouble the others."""

import psycopg

from tests.faults.arena import Arena
from tests.faults.code import sagas

_SICKEN = """
CREATE FUNCTION public.sicken() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  codes text[] := ARRAY['40001', '40P01', '55P03', '57014', '57P01', '53300', '53200'];
BEGIN
  IF random() < 0.04 THEN
    PERFORM nextval('public.errors');
    RAISE EXCEPTION 'as asked' USING ERRCODE = codes[1 + floor(random() * 7)::int];
  END IF;
  RETURN NEW;
END $$;
CREATE SEQUENCE public.errors;
CREATE TRIGGER sicken BEFORE UPDATE ON saga.saga FOR EACH ROW EXECUTE FUNCTION public.sicken();
CREATE TRIGGER sicken BEFORE UPDATE OR INSERT ON saga.step FOR EACH ROW
  EXECUTE FUNCTION public.sicken();
"""
_HEAL = "DROP TRIGGER sicken ON saga.saga; DROP TRIGGER sicken ON saga.step"
_POISON = """
CREATE FUNCTION public.poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.state = 'succeeded' AND NEW.args ->> 'item' = '13' THEN
    RAISE EXCEPTION 'as asked' USING ERRCODE = '23514';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER poison BEFORE UPDATE ON saga.step FOR EACH ROW EXECUTE FUNCTION public.poison();
"""


def test_errors_of_all_kinds(arena: Arena) -> None:
    workers = [arena.worker(), arena.worker()]
    arena.ready()
    arena.records.query(_SICKEN)
    forward = arena.start_many(sagas.voyage, 10)
    entered = arena.start_many(sagas.entries, 5, 4)
    parents = arena.start_many(sagas.family, 3, 2)
    backward = [arena.start(sagas.trip, 4, fails=True, key=str(n)).id for n in range(8)]
    ends = arena.until_over()
    (errors,) = arena.records.query("SELECT last_value AS count FROM public.errors")
    arena.records.query(_HEAL)
    assert errors.count >= 10
    assert {ends[one] for one in forward + entered + parents} == {"completed"}
    assert {ends[one] for one in backward} == {"compensated"}
    assert arena.entered() == {(one, n + 1): 1 for one in entered for n in range(4)}
    assert not any(worker.is_dead for worker in workers)


def test_some_rows_are_locked(arena: Arena) -> None:
    """Each of them keeps a thread busy, and must not keep the worker from all others."""
    first = arena.worker()
    held = [arena.start(sagas.letters, 1, key=str(n)).id for n in range(3)]
    arena.until(lambda: all(map(arena.records.steps, held)), "they wait for their letters")
    first.kill()
    for saga in held:
        arena.client.signal(saga, "letter", "late")
    with psycopg.connect(arena.database_url) as connection:
        connection.execute("SELECT FROM saga.saga WHERE id = ANY(%s) FOR UPDATE", [held])
        arena.worker()
        others = arena.start_many(sagas.voyage, 15)
        assert set(arena.until_over(*others).values()) == {"completed"}
        assert not set(held) - set(arena.records.open())
    assert set(arena.until_over(*held).values()) == {"completed"}


def test_one_outcome_cannot_be_stored(arena: Arena) -> None:
    """Not even that: the others go on, and the effect is not tried without end."""
    arena.records.query(_POISON)
    arena.worker()
    poison = arena.start(sagas.one, 13, key="poison").id
    others = arena.start_many(sagas.voyage, 10)
    assert set(arena.until_over(*others).values()) == {"completed"}
    key = f"{poison}:1"
    arena.until(lambda: len(arena.ledger.asked("do", key)) >= 2, "it is tried again")
    arena.records.query("DROP TRIGGER poison ON saga.step")
    assert arena.until_over(poison) == {poison: "completed"}
    assert arena.ledger.applied.count(key) == 1
