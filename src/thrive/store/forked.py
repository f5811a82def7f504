"""A process forked from this one, to compute beside it what needs no database."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from thrive.store.disk import write_all
from thrive.store.place import HOME_RECORD


def may_fork(home: Path) -> bool:
    """Tell whether a process forked now could work on a home's files beside this one, and help.

    Not where the database is imported already, for then nothing is won; nor beside other threads,
    which a forked process would lack; nor for a home without a folder of blobs.

    Args:
        home: the folder of the home, embedded or not.
    """
    ready = "sqlalchemy" in sys.modules or threading.active_count() > 1
    return not ready and sys.platform == "linux" and _is_embedded(home)


def _is_embedded(home: Path) -> bool:
    try:
        record = json.loads((home / HOME_RECORD).read_bytes())
    except (OSError, ValueError):
        return False
    return "database" not in record and not record.get("objects")


def ending_with(
    process: int, report: Callable[[int, int, str], object] | None = None
) -> Callable[[int, int, str], None]:
    """Return a report of work in a forked process, which ends it once nobody waits for it.

    Args:
        process: who forked it, and waits.
        report: told how far it is; nobody if not given.
    """

    def tell(done: int, of: int, name: str) -> None:
        if os.getppid() != process:
            raise SystemExit
        if report is not None:
            report(done, of, name)

    return tell


class Forked:
    """One answer from a process of its own; `stop` it in the end.

    Args:
        work: gives the answer, in that process.
    """

    def __init__(self, work: Callable[[], bytes]) -> None:
        self._pipe, telling = os.pipe()
        self._process = os.fork()
        if not self._process:
            os.close(self._pipe)  # else nobody would miss whoever hears the answer
            _answer(work, telling)
        os.close(telling)

    def answer(self) -> bytes:
        """Wait for the answer; empty if the process could not give one."""
        with os.fdopen(os.dup(self._pipe), "rb") as pipe:
            return pipe.read()

    def stop(self) -> None:
        """End the process if it still runs."""
        if not self._process:
            return
        os.close(self._pipe)
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        self._process = 0


def _answer(work: Callable[[], bytes], telling: int) -> None:
    try:
        write_all(telling, work())
    finally:
        os._exit(0)  # without anything that the parent has begun, and without its traceback
