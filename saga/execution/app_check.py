"""Whether a user's own app can run sagas: what our workers rely on, and Celery leaves open."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import warnings
from typing import Any

from celery import Celery
from kombu.serialization import prepare_accept_content

from saga.errors import DefinitionWarning, InvalidInput

_RETRY = "broker_channel_error_retry"


def broker_of(app: Celery) -> str:
    """Where wake-ups go: where the app's own messages go. Raises InvalidInput."""
    url: Any = app.conf.broker_write_url or "amqp://"
    if not isinstance(url, str) or ";" in url:
        raise InvalidInput("broker_url: one broker, not a list of several")
    scheme = url.partition(":")[0]
    if scheme not in ("redis", "rediss"):
        when = "" if app.conf.value_set_for("broker_url") else ": configure the app before install"
        raise InvalidInput(f"broker_url: redis:// or rediss://, not {scheme}://{when}")
    return url


def check(app: Celery) -> None:
    """Refuses settings with which no wake-up would ever be taken. Raises InvalidInput."""
    accepted: Any = prepare_accept_content(app.conf.accept_content)
    if accepted is not None and "application/json" not in accepted:
        raise InvalidInput("accept_content: wake-ups are JSON, so it must have 'json' in it")
    options: dict[str, Any] = app.conf.broker_transport_options or {}
    if 0 not in options.get("priority_steps", (0,)):
        raise InvalidInput(
            "broker_transport_options: wake-ups have the priority 0, so priority_steps must have it"
        )


def fit(app: Celery) -> None:
    """Lets workers outlive a failover of Redis, which answers with errors for a while then.

    Celery's default ends them. Whoever has said so himself is warned.
    """
    if not app.conf.value_set_for(_RETRY):
        app.conf[_RETRY] = True
    elif not app.conf[_RETRY]:
        warnings.warn(
            f"{_RETRY} is off: a failover of Redis ends the app's workers; set it to True",
            DefinitionWarning,
            stacklevel=3,
        )
