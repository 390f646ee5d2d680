"""Callbacks to be made: one row for each end of a saga that was started with a callback."""

from sqlalchemy import Column, DateTime, Index, Integer, Table, Text, Uuid, func, text

from saga.models.base import metadata, one_of

DELIVERY_STATES = ("due", "delivered", "given_up")

delivery = Table(
    "delivery",
    metadata,
    Column("id", Uuid, primary_key=True, comment="sent along, so that receivers can deduplicate"),
    Column("saga_id", Uuid, nullable=False),
    Column("seq", Integer, nullable=False, comment="the end's number in the saga's history"),
    Column("status", Text, nullable=False, comment="how the saga ended"),
    Column("url", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="due"),
    Column("attempt", Integer, nullable=False, server_default="0", comment="the fencing token"),
    Column(
        "forgiven",
        Integer,
        nullable=False,
        server_default="0",
        comment="the fencing token when somebody had it made again: those before count no longer",
    ),
    Column("due_at", DateTime(timezone=True), comment="the next attempt, or the end of a lease"),
    Column("response", Integer, comment="HTTP status of the last attempt"),
    Column("error", Text, comment="why the last attempt failed"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("settled_at", DateTime(timezone=True)),
    one_of("state", DELIVERY_STATES),
    Index("delivery_saga_id_seq_key", "saga_id", "seq", unique=True),
    Index("delivery_created_at_idx", "created_at", "id"),
    Index("delivery_open_idx", "created_at", "id", postgresql_where=text("state <> 'delivered'")),
    Index("delivery_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)
