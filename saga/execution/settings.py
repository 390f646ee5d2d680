"""What the workers of an app need to know besides Celery's own settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from saga.client.client import Client
from saga.engine.advance.conductor import CACHE_BYTES
from saga.engine.worker.watchers import Watcher
from saga.errors import InvalidInput
from saga.wakeups.message import Publisher
from saga.wakeups.publisher import publisher_for


@dataclass(frozen=True, slots=True)
class Settings:
    """See `saga.install`. `key_prefix` is the broker transport's `global_keyprefix`; `watchers`
    make the watchers of each process.
    """

    database_url: str
    broker_url: str
    key_prefix: str
    lease: float  # seconds
    drain: float  # seconds
    checks: bool = True  # warn of doubtful definitions
    watchdog: float = 60.0  # seconds; 0: none
    code_limit: float = 10.0  # seconds
    cache: int = CACHE_BYTES  # bytes
    watchers: tuple[Callable[[], Watcher], ...] = ()
    private_errors: bool = False
    exits: bool = False  # when it is told to stop and has drained, whatever still runs
    events: bool | None = None  # whether Flower sees the steps; None: as Celery's own -E says


def settings_of(app: Any) -> Settings:
    """The settings that `saga.install` left on an app; raises InvalidInput if they are gone."""
    if "saga_settings" not in app.conf:
        raise InvalidInput(
            "the app was configured anew after saga.install(app): call install as the last of it"
        )
    settings: Settings = app.conf.saga_settings
    return settings


def publisher_of(settings: Settings) -> Publisher:
    """A publisher of wake-ups on the app's broker."""
    return publisher_for(settings.broker_url, settings.key_prefix)


def client_of(settings: Settings) -> Client:
    """A client of the same database and broker."""
    return Client(settings.database_url, settings.broker_url, key_prefix=settings.key_prefix)
