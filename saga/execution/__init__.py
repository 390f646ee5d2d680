"""Celery, and only here: the app, its tasks, the worker."""
