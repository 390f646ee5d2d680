"""The Celery app. What sagas need is its last line."""

import os

from celery import Celery

import saga

app = Celery(
    "fastapi_shop",
    broker=os.environ["SAGA_BROKER_URL"],
    include=["fastapi_shop.tasks", "fastapi_shop.sagas"],
)
app.conf.update(
    task_ignore_result=True,
    task_routes={"fastapi_shop.tasks.send_mail": {"queue": "mail"}},
    broker_connection_retry_on_startup=True,
)
saga.install(app)
