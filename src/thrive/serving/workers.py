"""The worker processes of one host: started, restarted when they die, drained at the end."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import msgspec

from thrive.serving import environment, prestart
from thrive.serving.counters import state_file
from thrive.serving.limits import Limits, WorkerSettings

_logger = logging.getLogger(__name__)

HEALTHY_S = 5.0
"""A worker that lived this long is restarted at once; a younger one after a growing pause."""
LONGEST_PAUSE_S = 10.0
LEAVE_S = 20.0
STUCK_S = 60.0
"""A worker that says nothing for so long answers nobody: a model holds it, it is started again."""
LONGEST_TURN_S = 1.0
"""What counts of the time between two looks: this process may have been stopped meanwhile."""


class _Slot:
    """The place of one worker: its number, its process, and when it may start again."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.began = 0.0
        self.pause = 0.0
        self.start_at = 0.0
        self.word: int | None = None
        self.spoke = False
        self.silent = 0.0

    def hear(self, word: int | None, turn: float) -> None:
        """Note what the worker said last, and for how long that was its last word.

        Args:
            word: when it said it; None for never.
            turn: seconds since the last call.
        """
        if word != self.word:
            self.word, self.spoke, self.silent = word, True, 0.0
        elif self.spoke:  # until it has spoken it loads its models
            self.silent += turn


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
        self._looked_at = time.monotonic()

    def pids(self) -> dict[int, int]:
        """Return the process of each worker that has one, by number."""
        return {slot.number: slot.process.pid for slot in self._slots if slot.process}

    def keep(self) -> None:
        """Start what is not running and may start, end what is stuck; called often."""
        now = time.monotonic()
        turn, self._looked_at = min(now - self._looked_at, LONGEST_TURN_S), now
        for slot in self._slots:
            self._end_stuck(slot, turn)
            if slot.process is not None and slot.process.poll() is not None:
                self._note_death(slot, now)
            if slot.process is None and now >= slot.start_at:
                slot.word, slot.spoke, slot.silent = self._word_of(slot), False, 0.0
                slot.process, slot.began = self._start(slot.number), now

    def _word_of(self, slot: _Slot) -> int | None:
        try:
            return state_file(self._cache, slot.number).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _end_stuck(self, slot: _Slot, turn: float) -> None:
        """End a worker whose model holds it for ever: what it logged is kept, callers are told."""
        if slot.process is None:
            return
        slot.hear(self._word_of(slot), turn)
        if slot.silent > STUCK_S:
            slot.silent = 0.0
            with contextlib.suppress(OSError):  # of a disk that takes no word it is no fault
                os.utime(state_file(self._cache, slot.number).parent)
                _logger.error(
                    "worker %d says nothing for %g s: started again", slot.number, STUCK_S
                )
                slot.process.kill()

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
