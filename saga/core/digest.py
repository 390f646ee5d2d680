"""The digest of what a saga asks for, by which a replay is held to its journal."""

from __future__ import annotations

from hashlib import blake2b


def digest_of(text: str) -> int:
    """64 bits of a text, as Postgres's `bigint` takes them."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def digest_of_wait(seconds: float | None) -> int:
    """Of a time that is waited: its microseconds, which people can read; -1: without end."""
    return -1 if seconds is None else round(seconds * 1_000_000)


def told_wait(digest: int) -> str:
    """The time again, as JSON."""
    return "null" if digest < 0 else f"{digest / 1_000_000:.15g}"
