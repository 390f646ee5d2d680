"""The HTTP API, `saga serve`: one noun a file. It needs the extra `api`."""

from saga.operations.api.app import create_app
from saga.operations.api.settings import ApiSettings

__all__ = ["ApiSettings", "create_app"]
