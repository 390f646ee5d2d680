"""The pure core: definitions, the deterministic loop, replay, retry policy and codec.

Nothing in this package reads a clock, speaks SQL or knows Celery.
"""
