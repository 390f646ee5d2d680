"""What goes wrong with embedded servers."""

from saga.errors import SagaError


class EmbeddedError(SagaError):
    """An embedded server cannot be found, started or reached. The text says what to do."""
