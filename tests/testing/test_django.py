"""Django refuses its ORM in the thread of an event loop; a `def` step may use it all the same."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio
import django
from asgiref.sync import async_to_sync
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
)
django.setup()

from django.db import connection, models, transaction
from saga import current, saga, step
from saga.testing import World

class Order(models.Model):
    item = models.TextField()
    class Meta:
        app_label = "shop"

with connection.schema_editor() as editor:
    editor.create_model(Order)

@step
def book(item: str) -> str:
    Order.objects.create(item=item)
    return current().step_name

@book.compensation
def unbook(booked: str | None, item: str) -> None:
    Order.objects.filter(item=item).delete()

@saga
async def order(item: str) -> str:
    return await book(item)

assert asyncio.run(order("lamp")) == "book"
with transaction.atomic():
    assert async_to_sync(order)("desk") == "book"
    with World() as world:
        started = world.start(order("chair"))
        assert started.status == "completed"
    assert Order.objects.count() == 3, "in the transaction of the test"
    transaction.set_rollback(True)
assert [one.item for one in Order.objects.all()] == ["lamp"]
"""


def test_a_def_step_may_use_the_orm(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
