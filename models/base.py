"""What all tables share.

There are no foreign keys to `saga`: each would cost a lock and a lookup on the hot path, and old
sagas are to be dropped by partition. Rows are only ever written together with their saga's row.
"""

from collections.abc import Iterable

from sqlalchemy import CheckConstraint, MetaData

SCHEMA = "saga"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "pk": "%(table_name)s_pkey",
    },
)


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """A CHECK that repeats an enumeration of the code."""
    listed = ",".join(values)
    return CheckConstraint(f"{column} = ANY ('{{{listed}}}'::text[])", name=column)
