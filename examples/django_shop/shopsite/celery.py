"""The Celery app. `saga.install` and the second `autodiscover_tasks` are what sagas need."""

import os

from celery import Celery

import saga

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shopsite.settings")

app = Celery("shopsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
saga.install(app)
app.autodiscover_tasks(related_name="sagas")
