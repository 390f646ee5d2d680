"""What a client sees of sagas, without SQL and without the command line."""

import subprocess
import sys

import pytest

from saga import Client, SagaFilter, SagaNotFound
from saga.core.states import StepState


def test_a_client_lists_counts_and_shows(database_url: str) -> None:
    with Client(database_url) as client:
        client.operator("ann")  # no connection yet
        made = [_start(database_url, key) for key in ("a", "b", "c")]
        page = client.list(SagaFilter(name="order"), limit=2)
        assert [str(row.id) for row in page.rows] == [made[2], made[1]]
        rest = client.list(SagaFilter(name="order"), after=str(page.next))
        assert ([str(row.id) for row in rest.rows], rest.next) == ([made[0]], None)
        assert client.count() == 3
        assert client.count(SagaFilter(key="a")) == 1
        assert [(kind.by, kind.count) for kind in client.stats()] == [(("running",), 3)]
        shown = client.show("b")
        assert (str(shown.id), shown.steps[0].state) == (made[1], StepState.READY)
        why = client.why("b")
        assert (why.id, why.reasons[0].kind) == (shown.id, "no_worker")
        assert why.answer == "No live worker serves queue sagas, on which its code runs."
        assert [row.after for row in client.history("b")] == ["running", "ready"]
        assert [row.seq for row in client.history(shown.id, after=1)] == [2]
        for ask in (client.show, client.why, client.history):
            with pytest.raises(SagaNotFound):
                ask("nobody")


def _start(database_url: str, key: str) -> str:
    from sqlalchemy import create_engine

    from saga.storage.migrate import sqlalchemy_url
    from tests.storage.rows import Rows

    engine = create_engine(sqlalchemy_url(database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        rows = Rows(connection)
        saga_id = rows.saga("order", key=key)
        rows.step(saga_id, 1, StepState.READY)
    engine.dispose()
    return str(saga_id)


def test_who_only_starts_loads_no_sqlalchemy() -> None:
    program = (
        "import sys; from saga import Client, SagaFilter; Client('postgresql:///x').close();"
        "print('sqlalchemy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr
