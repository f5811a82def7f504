"""The home lock: one flock that every writing process of a home takes in turn."""

import fcntl
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from thrive.domain.errors import StoreBusy


class FileLock:
    """A lock on a file, fair enough for short writes; freed by the kernel if its holder dies.

    Args:
        path: the lock file; it is created, and never removed.
        timeout: seconds to wait before giving up.
    """

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self._path = path
        self._timeout = timeout
        self._thread_lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._thread_lock = threading.Lock()

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold the lock for a block.

        Raises:
            StoreBusy: the lock was not free within the time-out; names the process that holds it.
        """
        deadline = time.monotonic() + self._timeout
        if not self._thread_lock.acquire(timeout=self._timeout):
            raise StoreBusy("Another thread of this process is writing.", "try again")
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._wait(handle, deadline)
                yield
            finally:
                os.close(handle)
        finally:
            self._thread_lock.release()

    def _wait(self, handle: int, deadline: float) -> None:
        pause = 0.0002
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                    raise StoreBusy(
                        f"Another process (pid {holder}) has been writing to this home for "
                        f"{self._timeout:g} s.",
                        "wait for it, or see `thrive doctor`",
                    ) from None
                time.sleep(pause)
                pause = min(pause * 1.5, 0.02)
            else:
                os.pwrite(handle, f"{os.getpid():<31}\n".encode(), 0)
                return
