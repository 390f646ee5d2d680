"""The files of an embedded Postgres: its data, its password and, if need be, its programs."""

import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Final

from saga.operations.embedded import account as accounts
from saga.operations.embedded import binaries
from saga.operations.embedded.account import Account, Switch
from saga.operations.embedded.errors import EmbeddedError

USER: Final = "saga"
DATABASE: Final = "saga"

_INITDB = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    f"--username={USER}",
    "--set=scram_iterations=1",
)


class Cluster:
    """What lies in the folder of an embedded Postgres.

    Args:
        home: The folder, which exists.
        lasting: It is kept, so a new cluster is written through to the disk.
    """

    def __init__(self, home: Path, *, lasting: bool) -> None:
        self.home = home
        self.data = home / "data"
        self.account: Account | None = accounts.for_postgres(self.data)
        self._password = home / "password"
        self._lasting = lasting
        self._programs = binaries.postgres_home()

    @property
    def password(self) -> str:
        """The superuser's password; only the server's account can read its file."""
        return self._password.read_text()

    def program(self, name: str) -> Path:
        """The path of `postgres` or `initdb`."""
        return self._programs / "bin" / name

    def prepare(self) -> None:
        """Make everything that is missing.

        Raises:
            EmbeddedError: The account that Postgres runs as cannot reach the folder, or initdb
                failed; the text says why.
        """
        if self.account is not None:
            self._open_to(self.account)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()

    def _open_to(self, account: Account) -> None:
        self.home.chmod(0o711)
        if not account.reaches(self.home):
            raise EmbeddedError(
                f"Postgres refuses to run as root, so it runs as {account.name!r}, and that "
                f"account cannot enter {self.home}. Choose a folder below /var/lib or /tmp, or "
                "run as an ordinary user."
            )
        if not account.reaches(self.program("postgres")):
            self._programs = _copy_programs(self._programs, self.home / "programs")

    def _initialise(self) -> None:
        self._password.touch(mode=0o600)
        self._password.write_text(secrets.token_urlsafe(24))
        self.data.mkdir(mode=0o700, exist_ok=True)
        if self.account is not None:
            self.account.take(self._password)
            self.account.take(self.data)
        done = subprocess.run(
            [
                str(self.program("initdb")),
                f"--pgdata={self.data}",
                f"--pwfile={self._password}",
                *_INITDB,
                *([] if self._lasting else ["--no-sync"]),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            check=False,
            **(self.account.switch() if self.account else Switch()),
        )
        if done.returncode != 0:
            raise EmbeddedError(f"initdb failed: {done.stdout.decode(errors='replace').strip()}")


def _copy_programs(source: Path, target: Path) -> Path:
    """Copy what a server needs out of a folder that its account cannot enter (say, /root).

    The programs find their libraries by relative paths, which the copy keeps.
    """
    package = source.parent
    copy = target / package.name / source.name
    if copy.exists():
        shutil.rmtree(target)
    (copy / "bin").mkdir(parents=True)
    for name in ("initdb", "postgres"):
        shutil.copy2(source / "bin" / name, copy / "bin" / name)
    shutil.copytree(source / "lib" / "postgresql", copy / "lib" / "postgresql")
    shutil.copytree(source / "share", copy / "share")
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    return copy
