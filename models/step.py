"""One row a step and one a compensation: its intent, its lease and its outcome.

Payloads are `json`, not `jsonb`: replay must give the code the very text that it saw the first
time, and `jsonb` reorders keys.

The row is written before anything is dispatched, with the name of the undo, so that whatever dies
later the effect and its undo are known.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

from saga.core.states import SETTLED, StepState, sql
from saga.models.base import metadata, one_of

step = Table(
    "step",
    metadata,
    Column("saga_id", Uuid, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("undo", Boolean, primary_key=True, comment="a compensation of that position"),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("queue", Text),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0", comment="the fencing token"),
    Column("worker_id", BigInteger, comment="who holds the lease"),
    Column("args", JSON, nullable=False),
    Column("result", JSON),
    Column("error", JSON),
    Column("compensation", Text),
    Column("undo_queue", Text, comment="where the compensation runs"),
    Column("pivot", Boolean, nullable=False, server_default=text("false")),
    Column(
        "read_only",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="it has no effect: not in the ledger, nothing to undo",
    ),
    Column(
        "in_doubt",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="an attempt ended unknown and no probe has answered since; of an undo that "
        "succeeded: it ran without its step's result",
    ),
    Column(
        "forgiven",
        Integer,
        nullable=False,
        server_default="0",
        comment="attempts that count no longer: before an operator's retry, of lost workers, never "
        "begun",
    ),
    Column("after", Integer, nullable=False, comment="last event known when it was asked for"),
    Column("event", Integer, comment="its own number in the journal, once settled"),
    Column(
        "due_at", DateTime(timezone=True), comment="wake-up, retry, timer or deadline, by state"
    ),
    Column(
        "deadline",
        DateTime(timezone=True),
        comment="as it was asked for: when a timer fires or a wait gives up",
    ),
    Column(
        "wakes", Integer, nullable=False, server_default="0", comment="sweeper's wake-ups in vain"
    ),
    Column("note", Text, comment="why it does not go on, for people"),
    Column("asked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True), comment="of the last attempt"),
    Column("settled_at", DateTime(timezone=True)),
    Column(
        "lost",
        Integer,
        nullable=False,
        server_default="0",
        comment="workers lost at it in a row: attempts that use up none",
    ),
    Column("digest", BigInteger, comment="of the arguments that a replay is held to"),
    one_of("kind", ("step", "timer", "signal", "approval", "child")),
    one_of("state", StepState),
    CheckConstraint(f"(state = {sql(StepState.RUNNING)}) = (worker_id IS NOT NULL)", name="lease"),
    CheckConstraint(
        f"(state IN {sql(SETTLED)}) = (settled_at IS NOT NULL)",
        name="settled",
    ),
    Index("step_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("step_worker_id_idx", "worker_id", postgresql_where=text("worker_id IS NOT NULL")),
    Index("step_started_at_idx", "started_at", postgresql_using="brin"),  # effects since a time
    Index(
        "step_blocked_idx", "saga_id", postgresql_where=text(f"state = {sql(StepState.BLOCKED)}")
    ),
    Index(
        "step_approval_idx",
        "asked_at",
        "saga_id",
        "position",
        "name",
        postgresql_where=text(f"kind = 'approval' AND state = {sql(StepState.WAITING)}"),
    ),
    postgresql_with={"fillfactor": 80},
)
