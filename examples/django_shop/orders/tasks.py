"""The tasks of the shop. Moving to sagas has changed none of them."""

from typing import Any

from celery import Task, shared_task
from celery.signals import task_success
from django.db import transaction

from orders.models import Note, Order


def note(text: str) -> None:
    """For the owner."""
    Note.objects.create(text=text)


class Noting(Task):
    """A base class, as many projects have one."""

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Told of each task that fails for good."""
        note(f"{self.name} failed: {exc}")


class Busy(Exception):
    """The bank asks to come again."""


@shared_task(bind=True, base=Noting, autoretry_for=(Busy,), retry_backoff=1, max_retries=3)
def charge(self: Task, order_id: int, cents: int) -> str:
    """Takes the money; the bank deduplicates by the key."""
    if not self.request.retries:
        raise Busy
    note(f"charged {cents} with {self.request.id}")
    return f"receipt {order_id}"


@shared_task
def refund(receipt: str | None, order_id: int, cents: int) -> None:
    """Gives it back."""
    note(f"refunded {cents} for {receipt}")


@shared_task(bind=True, base=Noting, time_limit=30)
def pack(self: Task, order_id: int) -> str:
    """Puts the item in a box."""
    order = Order.objects.get(pk=order_id)
    if order.item == "heavy" and not self.request.retries:
        self.retry(countdown=0, max_retries=1)
    if order.item == "lost":
        raise LookupError("not on the shelf")
    Order.objects.filter(pk=order_id).update(state="packed")
    return order.item


@shared_task
def tell(items: list[str], customer: str) -> int:
    """Tells the customer of all that was packed."""
    note(f"told {customer} of {', '.join(items)}")
    return len(items)


@shared_task
def remind() -> None:
    """Beat's, and no step."""
    with transaction.atomic():
        if not Note.objects.filter(text="reminded").exists():
            note("reminded")


@task_success.connect
def count(sender: Task, **_: Any) -> None:
    """A receiver of signals."""
    if sender.name == "orders.tasks.tell":
        note("counted")
