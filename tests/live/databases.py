"""Databases that live longer than a test."""

import itertools
from collections.abc import Generator
from contextlib import contextmanager

import psycopg

from saga.operations.embedded import EmbeddedPostgres

_numbers = itertools.count(1)


@contextmanager
def fresh_database(server: EmbeddedPostgres, template: str) -> Generator[str]:
    """A copy of a template, dropped afterwards with whoever is still connected."""
    name = f"live_{next(_numbers)}"
    with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    try:
        yield server.url_of(name)
    finally:
        with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
