"""A small shell that outlives us, and cleans up after us if we cannot.

It waits for the end of a pipe that only we hold open. The kernel closes that when we end, also by
`kill -9`. A parent-death signal would be shorter, but Linux sends it when the *thread* that
started the server ends, and macOS has none.
"""

import contextlib
import os
import signal
import subprocess
import weakref
from pathlib import Path

# Each line read replaces what is to be killed: "<pid>" or "". At the end of the pipe: kill that,
# give it ten seconds, insist, and remove the folder if it is temporary. A zombie counts as dead:
# in a container nobody may ever reap it.
_SCRIPT = """
trap '' HUP INT TERM
alive() { kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; }
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
  kill -s "$1" "$pid" 2>/dev/null
  tries=0
  while alive && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -s KILL "$pid" 2>/dev/null
fi
if [ -n "$2" ]; then rm -rf "$2"; fi
"""

_open: "weakref.WeakSet[Guard]" = weakref.WeakSet()


class Guard:
    """Ends one server when this process ends.

    Args:
        how: The signal that ends the server at once and safely.
        remove: A temporary folder to remove at the end, or None.
    """

    def __init__(self, how: signal.Signals, remove: Path | None) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "saga-guard", how.name.removeprefix("SIG"), remove or ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        _open.add(self)

    def watch(self, pid: int | None) -> None:
        """From now on `pid` is the server; None: there is none."""
        assert self._shell.stdin is not None
        # Without a guard that somebody killed, the server still ends when we stop it.
        with contextlib.suppress(BrokenPipeError):
            self._shell.stdin.write(f"{pid or ''}\n".encode())
            self._shell.stdin.flush()

    def release(self) -> None:
        """End the guard; it removes the temporary folder first."""
        self.watch(None)
        self.let_go()
        self._shell.wait()

    def let_go(self) -> None:
        """Close our end of the pipe."""
        assert self._shell.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._shell.stdin.close()


def _forget_in_child() -> None:
    """A forked child must not hold the pipe open: the server is not its own."""
    for guard in list(_open):
        guard.let_go()


os.register_at_fork(after_in_child=_forget_in_child)
