"""What workers say they can run, and what people did."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from saga.models.base import metadata

definition = Table(
    "definition",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("queue", Text, nullable=False),
    Column("input_schema", JSONB, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

step_type = Table(
    "step_type",
    metadata,
    Column("name", Text, primary_key=True),
    Column("result_schema", JSONB, nullable=False, comment="of what the step returns"),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("saga_id", Uuid),
    Column("position", Integer),
    Column("reason", Text),
    Column("refused", Text, comment="why nothing was changed; null: it was done"),
    Column("details", JSONB),
    Index("audit_saga_id_idx", "saga_id"),
)
