"""The audit trail: who did what, or tried to."""

from uuid import UUID

import psycopg

_AUDIT = """
INSERT INTO saga.audit (actor, action, saga_id, position, reason, refused, details)
VALUES (%(actor)s, %(action)s, %(id)s, %(position)s, %(reason)s, %(refused)s, %(details)s::jsonb)
"""


def audit(
    connection: psycopg.Connection,
    *,
    actor: str,
    action: str,
    saga_id: UUID,
    position: int | None = None,
    reason: str | None = None,
    refused: str | None = None,
    details: str | None = None,
) -> None:
    """Writes down what somebody did, or tried to do."""
    connection.execute(
        _AUDIT,
        {
            "actor": actor,
            "action": action,
            "id": saga_id,
            "position": position,
            "reason": reason,
            "refused": refused,
            "details": details,
        },
    )
