"""Load, decide, land; the client; the sweeper. Knows no Celery."""
