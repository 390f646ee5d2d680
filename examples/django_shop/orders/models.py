"""What the shop keeps."""

from django.db import models


class Order(models.Model):
    """One line: an item for a customer."""

    customer = models.TextField()
    item = models.TextField()
    state = models.TextField(default="new")


class Note(models.Model):
    """What happened, for the shop's owner."""

    text = models.TextField()
