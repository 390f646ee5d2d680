"""What the workers of an app need to know besides Celery's own settings."""

# pyright: reportUnknownVariableType=false
# Celery has no types.

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from celery.local import maybe_evaluate

from saga.client.client import Client
from saga.engine.advance.conductor import CACHE_BYTES
from saga.engine.worker.watchers import Watcher
from saga.errors import InvalidInput
from saga.execution.waiting_room import WaitingRoom
from saga.wakeups.broker import Broker
from saga.wakeups.message import Publisher
from saga.wakeups.publisher import publisher_for


@dataclass(frozen=True, slots=True)
class Settings:
    """See `saga.install`. `key_prefix` is the broker transport's `global_keyprefix`; `watchers`
    make the watchers of each process.
    """

    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
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


_installed: WeakKeyDictionary[Any, Settings] = WeakKeyDictionary()
"""By app. Not in its `conf`, which Celery's remote control and Flower show to whoever asks."""


_MARK = "saga_is_installed"
"""In its `conf`: what configures the app anew forgets that, and what else `install` has set."""


def keep(app: Any, settings: Settings) -> None:
    """From now on they are the app's."""
    _installed[_itself(app)] = settings
    app.conf[_MARK] = True


def settings_of(app: Any) -> Settings:
    """The settings that `saga.install` left for an app; raises InvalidInput if there are none, or
    if the app was configured anew.
    """
    settings = _installed.get(_itself(app))
    if settings is None or _MARK not in app.conf:
        raise InvalidInput(
            "the app was configured anew after saga.install(app): call install as the last of it"
        )
    return settings


def _itself(app: Any) -> Any:
    """Behind a proxy such as `current_app`."""
    return maybe_evaluate(app)


def publisher_of(settings: Settings) -> Publisher:
    """A publisher of wake-ups on the app's broker."""
    return publisher_for(settings.broker_url, settings.key_prefix)


def client_of(settings: Settings) -> Client:
    """A client of the same database and broker."""
    return Client(settings.database_url, settings.broker_url, key_prefix=settings.key_prefix)


def broker_of(settings: Settings) -> Broker:
    """The app's broker, for those that must not depend on it."""
    return Broker(settings.broker_url, settings.key_prefix)


def room_of(settings: Settings) -> WaitingRoom:
    """Where messages wait that cannot be carried out yet."""
    return WaitingRoom(broker_of(settings), settings.database_url)
