"""What goes wrong with the development stack."""

from saga.errors import SagaError


class DevError(SagaError):
    """The stack cannot start or go on. The text says why."""
