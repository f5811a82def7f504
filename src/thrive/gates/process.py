"""The asking side of a gate worker: start it, ask with a time limit, kill what does not answer."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrive.engines import wire
from thrive.packaging.threads import THREAD_SETTINGS
from thrive.variables import without_secrets

PROGRAM = ("-m", "thrive.gates.worker")
LOAD_S, PREDICT_S, STRAIN_S, TURN_S = 60.0, 120.0, 60.0, 20.0
"""How long a worker may take to load, to predict the evaluation rows, to answer odd rows, and
for one turn of timed calls."""

ENDING_S = 2.0
SLICE_S = 0.2
"""How long one look for an answer takes; a machine that stands still makes it longer."""


class WorkerFailed(Exception):
    """A gate worker gave no answer; `reason` is a sentence for the verdict."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Worker:
    """One version in a fresh process of its own; use it as a context manager.

    Args:
        words: who is loaded, for messages, e.g. `version 3`.
        log: a file for what the process says on standard error.
    """

    def __init__(self, words: str, log: Path) -> None:
        self._words = words
        self._started = time.monotonic()
        ours, theirs = socket.socketpair()
        self._connection = ours
        with theirs, log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *PROGRAM, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**without_secrets(os.environ), **THREAD_SETTINGS},
            )

    @property
    def age(self) -> float:
        """Seconds since the process was started."""
        return time.monotonic() - self._started

    def post(self, kind: str, **body: Any) -> None:
        """Send a question; its answer must be taken before the next is sent.

        Raises:
            WorkerFailed: the process is gone.
        """
        self._connection.settimeout(LOAD_S)
        try:
            wire.send(self._connection, {"kind": kind, "body": body})
        except (wire.WireClosed, OSError):
            raise WorkerFailed(self._ended()) from None

    def take(self, timeout_s: float) -> dict[str, Any]:
        """Return the answer to the question sent last.

        Time in which the machine stood still, or the worker was stopped, is not counted.

        Raises:
            WorkerFailed: it raised, died, or was killed because it took too long.
        """
        self._connection.settimeout(timeout_s)
        try:
            self._wait(timeout_s)
            reply, _ = wire.receive(self._connection)
        except TimeoutError:
            self.kill()
            raise WorkerFailed(f"{self._words} gave no answer within {timeout_s:g} s") from None
        except (wire.WireClosed, OSError):
            raise WorkerFailed(self._ended()) from None
        if reply["error"]:
            raise WorkerFailed(f"{self._words}: {reply['error']}")
        return reply["body"]

    def _wait(self, timeout_s: float) -> None:
        """Wait for the answer in slices, of which none counts for more than it should have taken.

        Raises:
            TimeoutError: it did not come.
        """
        waited = 0.0
        while not select.select([self._connection], [], [], SLICE_S)[0]:
            if not _is_stopped(self._process.pid):
                waited += SLICE_S
            if waited >= timeout_s:
                raise TimeoutError

    def ask(self, kind: str, timeout_s: float, **body: Any) -> dict[str, Any]:
        """Send a question and return its answer; raises as `take`."""
        self.post(kind, **body)
        return self.take(timeout_s)

    def kill(self) -> None:
        """End the process whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING_S)  # its socket closes before the process has ended
        self.kill()
        code = self._process.returncode
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"{self._words} was ended by {signal.Signals(-code).name}"
        return f"{self._words} ended with exit code {code}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        self.kill()


def _is_stopped(pid: int) -> bool:
    """Tell whether a process was stopped by a signal; False where that cannot be seen."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] in {"T", "t"}


def scores_in(answer: dict[str, Any]) -> NDArray[np.float64]:
    """Return the array a worker's `predict` answered."""
    return np.frombuffer(answer["scores"], dtype=np.float64).reshape(answer["shape"])
