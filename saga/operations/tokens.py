"""Tokens of the HTTP API: what they look like, and what their roles may do."""

import hashlib
import secrets

READ, OPERATE, APPROVE, ADMINISTER = "read", "operate", "approve", "administer"
MAY: dict[str, frozenset[str]] = {
    "viewer": frozenset({READ}),
    "operator": frozenset({READ, OPERATE}),
    "approver": frozenset({READ, APPROVE}),
    "admin": frozenset({READ, OPERATE, APPROVE, ADMINISTER}),
}
ROLES = tuple(MAY)

_HINT = 9  # letters of a token that lists show


def new_token() -> tuple[str, str]:
    """A token, which is shown once, and how it begins."""
    token = f"saga_{secrets.token_urlsafe(32)}"
    return token, token[:_HINT]


def hashed(token: str) -> bytes:
    """What is kept of it. It is random, so that no slow hash is needed."""
    return hashlib.sha256(token.encode()).digest()
