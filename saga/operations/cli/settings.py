"""What the options that all commands share come to."""

import os
import re
from dataclasses import dataclass, field

import click

from saga.operations.cli.output import Output


@dataclass(slots=True)
class Settings:
    """The shared options of one run; an option after the command wins over one before it."""

    json: bool = False
    debug: bool = False
    database: str | None = field(default=None, repr=False)
    broker: str | None = field(default=None, repr=False)
    apps: tuple[str, ...] = field(default_factory=tuple[str, ...])

    @property
    def database_url(self) -> str:
        """As libpq reads it. Raises a usage error when none is given, and InvalidInput."""
        url = self.database or os.environ.get("SAGA_DATABASE_URL")
        if not url:
            raise click.UsageError(
                "No database: give --database-url or set SAGA_DATABASE_URL. "
                "`saga dev` starts one here and prints its URL."
            )
        from saga.storage.urls import libpq_url

        return libpq_url(url)

    @property
    def broker_url(self) -> str | None:
        """None: wake-ups are left to the sweeper."""
        return self.broker or os.environ.get("SAGA_BROKER_URL") or None

    @property
    def app_modules(self) -> tuple[str, ...]:
        """The user's modules."""
        return self.apps or tuple(re.findall(r"[^\s,]+", os.environ.get("SAGA_APP", "")))

    @property
    def output(self) -> Output:
        """Where results go."""
        return Output(as_json=self.json)


def settings() -> Settings:
    """Those of the command that runs."""
    return click.get_current_context().ensure_object(Settings)
