"""What each database role needs, and no more, as SQL for whoever owns the schema."""

from collections.abc import Mapping
from typing import Final

MIGRATOR, WORKER, API, STARTER = "migrator", "worker", "api", "starter"

_READ: Final = ("SELECT",)
_ADD: Final = ("SELECT", "INSERT")
_CHANGE: Final = ("SELECT", "INSERT", "UPDATE")
_TABLES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    WORKER: {
        "advancing": (*_CHANGE, "DELETE"),
        "audit": _ADD,
        "definition": _CHANGE,
        "delivery": _CHANGE,
        "history": _ADD,
        "lead": ("SELECT", "UPDATE"),
        "revision": _READ,
        "saga": _CHANGE,
        "signal": _CHANGE,
        "step": _CHANGE,
        "step_type": _CHANGE,
        "worker": _CHANGE,
    },
    API: {
        "audit": _ADD,
        "definition": _READ,
        "delivery": _CHANGE,
        "history": _ADD,
        "revision": _READ,
        "saga": _CHANGE,
        "signal": _ADD,
        "step": ("SELECT", "UPDATE"),
        "step_type": _READ,
        "token": _READ,
        "worker": _READ,
    },
    STARTER: {},
}
_PURPOSES: Final = {
    MIGRATOR: "`saga migrate`, `saga token` and `saga prune`: owns the schema",
    WORKER: "workers",
    API: "`saga serve`, the Python `Client`, and the command line",
    STARTER: "services that call saga.start() and its like in SQL, and see no table",
}


def grants(roles: Mapping[str, str]) -> str:
    """SQL that gives these roles (by what they are for) what they need and takes the rest.

    It may be run again, and has to be after `saga migrate` has made tables.
    """
    return "\n\n".join(_of(kind, _quoted(role)) for kind, role in roles.items())


def _of(kind: str, role: str) -> str:
    lines = [f"-- {_PURPOSES[kind]}"]
    if kind == MIGRATOR:
        body = "EXECUTE format('GRANT CREATE ON DATABASE %I TO %s', current_database(), {});"
        lines.append(f"DO $$ BEGIN {body.format(_literal(role))} END $$;")
        return "\n".join(lines)
    lines += [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA saga FROM {role};",
        f"REVOKE ALL ON SCHEMA saga FROM {role};",
        f"GRANT USAGE ON SCHEMA saga TO {role};",
    ]
    lines += [
        f"GRANT {', '.join(privileges)} ON saga.{table} TO {role};"
        for table, privileges in _TABLES[kind].items()
    ]
    return "\n".join(lines)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
