"""The folder of a development stack: what is where, and that only one stack uses it."""

import fcntl
import hashlib
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from saga.operations.dev.errors import DevError
from saga.operations.embedded.account import for_postgres


def default_directory() -> Path:
    """`.saga` here, or, when we are root and Postgres' account cannot come here, below /var/lib."""
    here = Path.cwd()
    account = for_postgres(here / ".saga" / "postgres" / "data")
    if account is None or account.reaches(here):
        return here / ".saga"
    name = hashlib.sha256(str(here).encode()).hexdigest()[:12]
    return Path("/var/lib/saga", f"{here.name or 'root'}-{name}")


def claim(folder: Path) -> TextIO:
    """One stack a folder, until the file is closed. Git is told to leave the folder alone, and
    nobody else may look into it: passwords and logs are in there.

    Raises:
        DevError: Another stack has it, or it is somebody else's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if {folder.lstat().st_uid, folder.stat().st_uid} != {os.geteuid()}:
        raise DevError(
            f"{folder} belongs to somebody else, who could read and change what is in it: choose "
            "another --directory"
        )
    postgres = for_postgres(folder / "postgres" / "data")
    folder.chmod(0o700 if postgres is None else 0o711)  # its account has to come through
    (folder / ".gitignore").write_text("*\n")
    lock = (folder / "lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise DevError(
            f"another `saga dev` runs on {folder}: stop it, or choose another --directory"
        ) from None
    return lock


def write_environment(file: Path, environment: Mapping[str, str]) -> None:
    """As a shell reads it. Passwords are in it."""
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    write_private(file, "".join(lines))


def write_private(file: Path, text: str) -> None:
    """Only we may read it. A crash leaves what was there before, or all of the new text."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(text)
    draft.replace(file)
