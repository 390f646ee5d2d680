"""The URLs of databases, as libpq reads them. What is wrong with one is said without repeating it:
a password is in it, and may be what is wrong.
"""

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from saga.errors import InvalidInput

_KINDS = ("postgresql", "postgres")
_WANTED = (
    "database_url: want postgresql://user:password@host:5432/database, with the special characters "
    "of user and password percent-encoded (@ as %40, / as %2F)"
)


def libpq_url(given: str) -> str:
    """The same database for libpq; a driver that SQLAlchemy's form names is left out. Raises
    InvalidInput.
    """
    kind, colon, rest = given.partition("://")
    if colon and kind.partition("+")[0] in _KINDS:
        given = f"postgresql://{rest}"
    parts_of(given)
    return given


def parts_of(url: str) -> dict[str, str]:
    """What libpq reads in it, by its own names. Raises InvalidInput."""
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except (ProgrammingError, UnicodeError):
        raise InvalidInput(_WANTED) from None
    ports = [port for port in found.get("port", "").split(",") if port]
    # A password with @ or / as they are: its rest would stand in libpq's errors as a host or port.
    is_odd = any("@" in found.get(name, "") for name in ("host", "dbname"))
    if (
        not found
        or is_odd
        or not all(port == "" or (port.isdecimal() and len(port) < 6) for port in ports)
    ):
        raise InvalidInput(_WANTED)
    return found
