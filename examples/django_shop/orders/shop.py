"""What a view of the shop calls."""

from django.db import connection, transaction

import saga
from orders.models import Order
from orders.sagas import fulfil

client = saga.Client()


def buy(customer: str, *items: str) -> saga.Handle[int]:
    """The orders and the start of their saga are one transaction: both are there, or neither.

    Before, this was `transaction.on_commit(lambda: chain(...).delay())`, which loses the chain if
    the process dies in between.
    """
    with transaction.atomic():
        orders = [Order.objects.create(customer=customer, item=item).pk for item in items]
        return client.start(fulfil, customer, orders, connection=connection)


def buy_after_commit(customer: str, *items: str) -> None:
    """With `on_commit` it works as before, too."""
    with transaction.atomic():
        orders = [Order.objects.create(customer=customer, item=item).pk for item in items]
        transaction.on_commit(lambda: client.start(fulfil, customer, orders) and None)
