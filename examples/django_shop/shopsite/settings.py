"""Settings of the shop: one Postgres for its rows and the sagas, one Redis."""

import os
from urllib.parse import parse_qs, unquote, urlsplit

_url = urlsplit(os.environ["SAGA_DATABASE_URL"])
_options = {name: values[0] for name, values in parse_qs(_url.query).items()}

SECRET_KEY = "of an example"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["orders"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.path.lstrip("/"),
        "USER": unquote(_url.username or ""),
        "PASSWORD": unquote(_url.password or ""),
        "HOST": _url.hostname or _options.get("host", ""),
        "PORT": str(_url.port or _options.get("port", "")),
    }
}

CELERY_BROKER_URL = os.environ["SAGA_BROKER_URL"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ROUTES = {"orders.tasks.charge": {"queue": "payments"}}
CELERY_BEAT_SCHEDULE = {"remind": {"task": "orders.tasks.remind", "schedule": 1.0}}
