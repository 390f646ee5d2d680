"""Worker processes and their lease, renewed for all their steps in one statement."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Integer,
    Table,
    Text,
    Uuid,
    func,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from saga.models.base import metadata

worker = Table(
    "worker",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, comment="host:pid"),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("queues", ARRAY(Text), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True), comment="stopped, or taken for dead"),
    Column("ended_why", Text),
    Column("code", ARRAY(Text), comment="sagas and steps that it can run"),
    Column("handover", Text, comment="queue of wake-ups from workers without this code"),
    Column("python", Text, comment="its version, as 3.11"),
    Column(
        "presence",
        Integer,
        comment="key of the advisory lock that it holds as long as it lives; null: its id",
    ),
)

lead = Table(
    "lead",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=true()),
    Column(
        "key",
        Integer,
        nullable=False,
        server_default="0",
        comment="of the advisory lock that the leading sweeper holds",
    ),
    CheckConstraint("one", name="one"),
)

advancing = Table(
    "advancing",
    metadata,
    Column("worker_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sagas", ARRAY(Uuid), nullable=False, comment="whose code it may be running"),
    prefixes=["UNLOGGED"],  # of use only as long as the server does not crash itself
)
