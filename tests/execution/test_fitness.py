"""Which apps can run sagas, and what is done to their settings."""

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

import saga
from saga import DefinitionWarning, InvalidInput
from saga.execution.settings import settings_of
from saga.execution.worker import load_app

POSTGRES = "postgresql://127.0.0.1/none"
REDIS = "redis://127.0.0.1:1/0"


def made(broker: Any = REDIS, **conf: Any) -> Any:
    app: Any = Celery("shop", broker=broker, set_as_current=False)
    app.conf.update(conf)
    return app


def test_workers_outlive_a_failover_of_redis_unless_the_app_says_otherwise() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert saga.install(made(), POSTGRES).conf.broker_channel_error_retry is True
        asked = made(broker_channel_error_retry=True)
        assert saga.install(asked, POSTGRES).conf.broker_channel_error_retry is True
    refused = made(broker_channel_error_retry=False)
    with pytest.warns(DefinitionWarning, match="a failover of Redis ends the app's workers"):
        saga.install(refused, POSTGRES)
    assert refused.conf.broker_channel_error_retry is False


def test_a_setting_with_a_namespace_counts() -> None:
    app: Any = Celery("shop", set_as_current=False)
    settings = SimpleNamespace(CELERY_BROKER_URL=REDIS, CELERY_BROKER_CHANNEL_ERROR_RETRY=False)
    app.config_from_object(settings, namespace="CELERY")
    with pytest.warns(DefinitionWarning):
        saga.install(app, POSTGRES)
    assert settings_of(app).broker_url == REDIS


@pytest.mark.parametrize(
    ("app", "why"),
    [
        (made(None), "not amqp://: configure the app before install"),
        (made("sentinel://127.0.0.1:1"), "redis:// or rediss://, not sentinel://"),
        (made([REDIS, REDIS]), "one broker"),
        (made(f"{REDIS};{REDIS}"), "one broker"),
        (made(accept_content=["pickle"]), "accept_content: .* must have 'json'"),
        (made(broker_transport_options={"priority_steps": [3, 6]}), "priority_steps must have it"),
    ],
)
def test_an_app_whose_workers_would_take_no_step_is_refused(app: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        saga.install(app, POSTGRES)


def test_apps_that_take_more_than_ours_are_fine() -> None:
    options = {"priority_steps": [0, 3], "global_keyprefix": "shop:"}
    app = made(accept_content=["application/json", "yaml"], broker_transport_options=options)
    assert settings_of(saga.install(app, POSTGRES)).key_prefix == "shop:"
    split = made(None, broker_read_url="redis://127.0.0.1:2/0", broker_write_url=REDIS)
    assert settings_of(saga.install(split, POSTGRES)).broker_url == REDIS


def test_an_app_that_was_configured_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery forgets then what was set before; the worker must not quietly use another app."""
    app = saga.install(made(), POSTGRES)
    app.config_from_object(SimpleNamespace(task_ignore_result=True))
    monkeypatch.setitem(__import__("sys").modules, "late", SimpleNamespace(app=app))
    assert load_app(["late"], POSTGRES, REDIS) is app
    with pytest.raises(InvalidInput, match="call install as the last of it"):
        settings_of(app)
