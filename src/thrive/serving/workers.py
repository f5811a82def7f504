"""The worker processes of one host: started, restarted when they die, drained at the end."""

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path

import msgspec

from thrive.serving import environment, prestart
from thrive.serving.limits import Limits, WorkerSettings

HEALTHY_S = 5.0
"""A worker that lived this long is restarted at once; a younger one after a growing pause."""
LONGEST_PAUSE_S = 10.0
LEAVE_S = 20.0


class _Slot:
    """The place of one worker: its number, its process, and when it may start again."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.began = 0.0
        self.pause = 0.0
        self.start_at = 0.0


class WorkerPool:
    """Keeps a number of workers alive on one listening socket.

    The pool holds the socket: while a worker is restarted, callers wait in its queue instead of
    being refused.

    Args:
        listening: a bound and listening socket.
        numbers: the number of each worker.
        cache: the cache folder of the home.
        log: the folder of the prediction log.
        limits: what each worker takes.
        grpc: HOST:PORT where they answer gRPC too, "" for nowhere.
    """

    def __init__(
        self,
        listening: socket.socket,
        numbers: list[int],
        cache: Path,
        log: Path,
        limits: Limits,
        grpc: str = "",
    ) -> None:
        self.restarts = 0
        self._socket = listening
        self._cache = cache
        self._log = log
        self._limits = limits
        self._grpc = grpc
        self._slots = [_Slot(number) for number in numbers]

    def pids(self) -> dict[int, int]:
        """Return the process of each worker that has one, by number."""
        return {slot.number: slot.process.pid for slot in self._slots if slot.process}

    def keep(self) -> None:
        """Start what is not running and may start; called often."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._note_death(slot, now)
            if slot.process is None and now >= slot.start_at:
                slot.process, slot.began = self._start(slot.number), now

    def stop(self) -> None:
        """Ask all workers to drain, and wait until they have left."""
        processes = [slot.process for slot in self._slots if slot.process]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + LEAVE_S
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _close_pipe(process)

    def _note_death(self, slot: _Slot, now: float) -> None:
        if slot.process is not None:
            _close_pipe(slot.process)
        slot.process = None
        self.restarts += 1
        healthy = now - slot.began > HEALTHY_S
        slot.pause = 0.0 if healthy else min(max(0.2, slot.pause * 2), LONGEST_PAUSE_S)
        slot.start_at = now + slot.pause

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        settings = WorkerSettings(
            worker=number,
            socket=self._socket.fileno(),
            cache=str(self._cache),
            log=str(self._log),
            grpc=self._grpc,
            limits=self._limits,
        )
        waiting = prestart.take(settings, self._socket)
        if waiting is not None:
            return waiting
        return subprocess.Popen(
            [*prestart.PROGRAM, msgspec.json.encode(settings).decode()],
            stdin=subprocess.PIPE,
            pass_fds=(self._socket.fileno(),),
            env=environment.of_worker(),
            start_new_session=True,
        )


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
