"""The shop: a Django project with Celery, as Celery's own documentation sets it up."""

from .celery import app as celery_app

__all__ = ["celery_app"]
