"""The home lock: one flock that every writing process of a home takes in turn."""

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from thrive.domain.errors import StoreBusy

_SLICE_S = 1.0


def patiently(wait: Callable[[float], bool], seconds: float) -> bool:
    """Wait for so many seconds of this process's own time; True as soon as `wait` is.

    A process that was stopped (a paused container, a suspended machine) finds much time gone when
    it goes on, and what it waits for was stopped as well: that time is not counted.

    Args:
        wait: waits for at most so many seconds, and tells whether it came.
        seconds: how long to wait.
    """
    left = seconds
    while left > 0:
        part = min(left, _SLICE_S)
        if wait(part):
            return True
        left -= part
    return False


class TurnLock:
    """A lock of threads that is handed to who waits longest.

    One of `threading` goes to whoever comes at the right moment: a writer that comes back at once
    takes it again and again, and another one waits until its patience ends.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._busy = False
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, timeout: float) -> bool:
        """Take the lock; False if it did not come within so many seconds."""
        with self._guard:
            if not self._busy:
                self._busy = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            came = patiently(lambda part: turn.acquire(timeout=part), timeout)
        except BaseException:  # an interrupt
            if not self._gave_up(turn):
                self.release()
            raise
        return came or not self._gave_up(turn)

    def _gave_up(self, turn: threading.Lock) -> bool:
        """Leave the queue; False when the lock was handed over meanwhile."""
        with self._guard:
            if turn not in self._waiting:
                return False
            self._waiting.remove(turn)
            return True

    def release(self) -> None:
        """Hand the lock to who waits longest."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._busy = False


class FileLock:
    """A lock on a file; threads of a process take it first come first served.

    Between processes it is fair enough for short writes, and freed by the kernel if its holder
    dies.

    Args:
        path: the lock file; it is created, and never removed.
        timeout: seconds to wait before giving up.
    """

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self._path = path
        self._timeout = timeout
        self._threads = TurnLock()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._threads = TurnLock()

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold the lock for a block.

        Raises:
            StoreBusy: the lock was not free within the time-out; names the process that holds it.
        """
        if not self._threads.acquire(self._timeout):
            raise StoreBusy("Another thread of this process is writing.", "try again")
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._wait(handle)
                yield
            finally:
                os.close(handle)
        finally:
            self._threads.release()

    def _wait(self, handle: int) -> None:
        pause, left = 0.0002, self._timeout
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if left <= 0:
                    holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                    raise StoreBusy(
                        f"Another process (pid {holder}) has been writing to this home for "
                        f"{self._timeout:g} s.",
                        "wait for it, or see `thrive doctor`",
                    ) from None
                time.sleep(pause)
                left -= pause
                pause = min(pause * 1.5, 0.02)
            else:
                os.pwrite(handle, f"{os.getpid():<31}\n".encode(), 0)
                return
