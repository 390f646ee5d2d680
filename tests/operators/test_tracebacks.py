"""A failure can be found: by its line in `saga show`, and with all that led to it."""

from typing import Any
from uuid import UUID

import pytest

from saga.core import failures
from tests.cli.commands import Done, run
from tests.operators.code import sagas
from tests.operators.stage import Stage


def show(stage: Stage, saga_id: UUID, *options: str) -> Done:
    done = run("show", str(saga_id), *options, SAGA_DATABASE_URL=stage.arena.database_url)
    assert done.code == 0, done
    return done


def raised(stage: Stage, saga_id: UUID) -> list[dict[str, Any]]:
    return show(stage, saga_id, "--traceback", "--json").json["tracebacks"]


def test_every_attempt_of_steps_and_undos_has_its_own(stage: Stage) -> None:
    found = stage.start(sagas.charging, 7)
    assert stage.status(found) == "partly_compensated"
    rows = raised(stage, found)
    told = [(row["position"], row["undo"], row["attempt"], row["outcome"]) for row in rows]
    assert told == [
        (2, False, 1, "retrying"),
        (2, False, 2, "failed"),
        (None, False, None, "compensating"),
        (1, True, 1, "retrying"),
        (1, True, 2, "blocked"),
    ]
    assert "in _parse" in rows[0]["text"]
    assert "KeyError: 'customer'" in rows[0]["text"]
    assert "await charge(item)" in rows[2]["text"]
    assert "OSError: the c4n4ry has flown" in rows[3]["text"]


def test_the_line_is_shown_where_the_error_is(stage: Stage) -> None:
    found = stage.start(sagas.charging, 7)
    shown = show(stage, found).stdout
    line = sagas._parse.__code__.co_firstlineno + 1  # pyright: ignore[reportPrivateUsage]
    assert f"KeyError: 'customer' at sagas.py:{line} in _parse" in shown
    assert "OSError: the c4n4ry has flown at sagas.py" in shown
    assert "Traceback" not in shown
    whole = show(stage, found, "--traceback").stdout
    assert f"2 charge, attempt 2: failed, saga {found}" in whole
    assert "Traceback (most recent call last):" in whole


def test_of_a_saga_s_own_code(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    found = stage.start(sagas.miscounted, 7)
    (row,) = raised(stage, found)
    assert (row["position"], row["name"]) == (None, "miscounted")
    assert "ZeroDivisionError" in row["text"]
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert record.getMessage() == f"the code of saga miscounted {found} raised ZeroDivisionError"
    assert record.exc_info is not None


def test_a_saga_that_did_nothing_is_told_of_too(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """It fails without compensating."""
    found = stage.start(sagas.hopeless)
    assert stage.status(found) == "failed"
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert record.getMessage() == f"the code of saga hopeless {found} raised ZeroDivisionError"
    assert "ZeroDivisionError" in raised(stage, found)[0]["text"]


def test_a_child_s_stands_before_its_parent_s(stage: Stage) -> None:
    found = stage.start(sagas.household, 7)
    rows = raised(stage, found)
    assert [row["name"] for row in rows if not row["undo"]] == [
        "charge",
        "charge",
        "charging",
        "household",
    ]
    error = show(stage, found, "--json").json["saga"]["error"]
    assert error["type"] == "KeyError"
    assert error["at"].endswith("in _parse")


def test_of_a_probe(stage: Stage) -> None:
    stage.troubles.make("wire", "unknown")
    stage.troubles.make("find_wire")
    found = stage.start(sagas.transfer)
    assert any("the probe is out of order" in row["text"] for row in raised(stage, found))


def test_private_errors_reach_no_row(stage: Stage) -> None:
    failures.keep_private(True)
    try:
        found = stage.start(sagas.charging, 7)
    finally:
        failures.keep_private(False)
    assert raised(stage, found) == []
    dump = stage.arena.records.query(
        "SELECT (SELECT json_agg(h) FROM saga.history h)::text"
        " || (SELECT json_agg(t.error) FROM saga.step t)::text || s.error::text AS told"
        " FROM saga.saga s"
    )[0].told
    assert "c4n4ry" not in dump
    assert "customer" not in dump
    assert "KeyError" in dump
    assert "in _parse" in dump
