"""Signals as they were accepted; each is an event of the saga's journal."""

from sqlalchemy import Column, DateTime, Index, Integer, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSON

from saga.models.base import metadata

signal = Table(
    "signal",
    metadata,
    Column("saga_id", Uuid, primary_key=True),
    Column("event", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("dedup_id", Text),
    Column("sender", Text),
    Column(
        "received_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    Column("consumed_by", Integer, comment="the position that waited for it"),
    Index(
        "signal_saga_id_dedup_id_key",
        "saga_id",
        "dedup_id",
        unique=True,
        postgresql_where=text("dedup_id IS NOT NULL"),
    ),
)
