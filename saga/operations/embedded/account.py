"""The system account that Postgres runs as.

Postgres refuses to run as root. Started by root it runs as an unprivileged account that exists on
every system; no account is created and no permission of a folder outside ours is changed.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

_CANDIDATES = ("postgres", "nobody")


class Switch(TypedDict, total=False):
    """The arguments of `subprocess` that make a child run as another account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody else that a server runs as."""

    name: str
    uid: int
    gid: int

    def switch(self) -> Switch:
        """For `subprocess.Popen(**account.switch())`."""
        return Switch(user=self.uid, group=self.gid, extra_groups=[])

    def reaches(self, path: Path) -> bool:
        """Whether this account can enter or execute `path`, asked of the kernel."""
        asked = subprocess.run(
            ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
            cwd="/",
            check=False,
            **self.switch(),
        )
        return asked.returncode == 0

    def take(self, path: Path) -> None:
        """Make `path` this account's own."""
        os.chown(path, self.uid, self.gid)


def for_postgres(data: Path) -> Account | None:
    """Who must run the Postgres of the folder `data`; None: whoever we are.

    A cluster that exists keeps its owner, since Postgres accepts no other.
    """
    if os.geteuid() != 0:
        return None
    owner = data.stat().st_uid if data.exists() else 0
    entry = pwd.getpwuid(owner) if owner else _first_existing()
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _first_existing() -> pwd.struct_passwd:
    for name in _CANDIDATES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LookupError(f"none of the accounts {_CANDIDATES} exists")
