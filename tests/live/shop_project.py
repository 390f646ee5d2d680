"""The shop on a Celery app of its own: `saga --app tests.live.shop_project:app worker`."""

import os

from celery import Celery

import saga
from tests.live import shop

__all__ = ["app", "shop"]

app = Celery("shop", broker=os.environ["SAGA_BROKER_URL"], set_as_current=False)
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
app.conf.worker_send_task_events = True
saga.install(app)
