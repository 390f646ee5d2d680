"""One row a saga: what it is, where it stands, and the counters that guard it."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

from saga.core.states import SagaStatus
from saga.models.base import metadata, one_of

saga = Table(
    "saga",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("queue", Text, nullable=False, comment="where `advance` wake-ups go"),
    Column("key", Text, comment="the caller's idempotency key"),
    Column("input", JSON, nullable=False),
    Column("status", Text, nullable=False, server_default=SagaStatus.RUNNING),
    Column(
        "rare",
        Boolean,
        Computed("status <> ALL ('{running,completed}'::text[])", persisted=True),
        nullable=False,
        comment="the status is one that people look for",
    ),
    Column("seq", Integer, nullable=False, server_default="1", comment="last number in history"),
    Column(
        "events", Integer, nullable=False, server_default="0", comment="last number in the journal"
    ),
    Column(
        "applied", Integer, nullable=False, server_default="0", comment="last event decided upon"
    ),
    Column(
        "fence",
        Integer,
        nullable=False,
        server_default="0",
        comment="raised when anyone but a lease's holder moves a step",
    ),
    Column("result", JSON),
    Column("error", JSON),
    Column("exposed", JSON, comment="what the saga's code shows of itself"),
    Column("attributes", JSONB, comment="the caller's, for search"),
    Column("callback", Text, comment="the URL that is told of each end"),
    Column("undo_cause", Text, comment="why it compensates: failure, cancel, operator or parent"),
    Column(
        "undo_only",
        ARRAY(Integer),
        comment="the positions that an operator wants undone; null: all",
    ),
    Column("undo_from", Integer, comment="the first position that an operator wants undone"),
    Column("due_at", DateTime(timezone=True), comment="when the sweeper wakes it, if nobody did"),
    Column(
        "wakes", Integer, nullable=False, server_default="0", comment="sweeper's wake-ups in vain"
    ),
    Column(
        "awaited",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="somebody waits for its end: announce it",
    ),
    Column("note", Text, comment="why it does not go on, for people"),
    Column("parent_id", Uuid),
    Column("parent_position", Integer),
    Column(
        "traceparent",
        Text,
        comment="W3C trace context of its start, of its parent if it is a child; without flags: "
        "whether it is sampled follows from the trace's id",
    ),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
    Column(
        "given",
        LargeBinary,
        comment="a digest of what was given without defaults: what a repeated start repeats",
    ),
    Column(
        "losses",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="workers lost one after the other while its code ran; at three it is parked until "
        "it is retried",
    ),
    one_of("status", SagaStatus),
    one_of("undo_cause", ("failure", "cancel", "operator", "parent")),
    CheckConstraint("applied <= events AND seq >= 1", name="counters"),
    Index(
        "saga_name_key_key", "name", "key", unique=True, postgresql_where=text("key IS NOT NULL")
    ),
    Index("saga_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("saga_parent_id_idx", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
    Index("saga_created_at_idx", "created_at", "id"),
    Index("saga_name_created_at_idx", "name", "created_at", "id"),
    # By `rare`, which stays as it is when a saga completes: `status` would make that update cold.
    Index("saga_rare_idx", "created_at", "id", postgresql_where=text("rare")),
    Index(
        "saga_attributes_idx",
        "attributes",
        postgresql_using="gin",
        postgresql_ops={"attributes": "jsonb_path_ops"},
        postgresql_where=text("attributes IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": 30},  # room for HOT updates: this row changes at every step
)
