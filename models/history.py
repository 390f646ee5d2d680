"""Every transition, append-only, dense per saga: who, when, from, to, attempt, why."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    Table,
    Text,
    Uuid,
    func,
)

from saga.models.base import metadata

history = Table(
    "history",
    metadata,
    Column("saga_id", Uuid, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("position", Integer, comment="null: the saga itself"),
    Column("undo", Boolean),
    Column("before", Text),
    Column("after", Text, nullable=False),
    Column("attempt", Integer),
    Column("worker_id", BigInteger),
    Column("actor", Text, comment="a person or service, where one acted"),
    Column("reason", Text),
    Column("traceback", Text, comment="of what the code raised, at most 16 KiB"),
    CheckConstraint("seq >= 1", name="seq"),
)
