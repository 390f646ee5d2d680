"""Bearer tokens of the HTTP API. Only their hashes are kept."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    func,
    text,
)

from saga.models.base import metadata, one_of

ROLES = ("viewer", "operator", "approver", "admin")

token = Table(
    "token",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, comment="the actor in the audit trail"),
    Column("role", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 of the token"),
    Column("hint", Text, nullable=False, comment="the token's first letters, to tell it by"),
    Column("created_by", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    one_of("role", ROLES),
    Index("token_hash_key", "hash", unique=True),
    Index("token_name_key", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
)
