"""Who wakes whom: Celery's messages by an interface, and the bell of the sweepers."""
