"""Alembic's entry; run by `saga migrate`, which hands over a connection that holds the lock."""

from typing import Any

from alembic import context

from saga.models import SCHEMA, metadata


def _run() -> None:
    connection = context.config.attributes["connection"]
    say = context.config.attributes["say"]

    def applied(*, step: Any, **_: Any) -> None:
        say(f"{step.up_revision_id}: {step.up_revision.doc}")

    notify: Any = applied
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table="revision",
        version_table_schema=SCHEMA,
        include_schemas=True,
        transaction_per_migration=True,
        on_version_apply=notify,
    )
    with context.begin_transaction():
        context.run_migrations()


_run()
