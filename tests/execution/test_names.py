"""Steps and an app's own tasks share one space of names."""

import pytest
from celery import Celery

from saga import DefinitionError, step
from saga.core.declare.registry import registry
from saga.execution.step_tasks import register_tasks


def _own() -> None: ...


def test_a_task_of_the_same_name_is_refused() -> None:
    app = Celery("names", set_as_current=False, broker="redis://localhost:1/0")
    app.conf.saga_database_url = "postgresql://localhost:1/none"

    app.task(_own, name="charge")
    with registry.sandbox():

        @step(name="charge")
        def charge() -> None: ...

        with pytest.raises(DefinitionError, match="has a task named 'charge' of its own"):
            register_tasks(app)
    assert charge.name == "charge"
