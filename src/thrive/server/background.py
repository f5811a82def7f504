"""What runs beside the requests: the tick on a thread, and a worker in a process of its own."""

import contextlib
import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from thrive.domain.errors import ThriveError

_logger = logging.getLogger("thrive.server")

TICK_EVERY_S = 5.0
HEALTHY_S = 5.0
"""A child that lived this long is restarted at once; a younger one after a growing pause."""
LONGEST_PAUSE_S = 30.0
LOOK_EVERY_S = 0.2
LEAVE_S = 10.0


class Ticker:
    """Calls the tick every few seconds; one that fails is told in the log and tried again.

    Args:
        tick: does what is due; it takes its own lease, so several servers may call it.
        every: seconds between the end of one and the start of the next.
    """

    def __init__(self, tick: Callable[[], object], every: float = TICK_EVERY_S) -> None:
        self.done = 0
        self.failed = 0
        self._tick = tick
        self._every = every

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop` is set."""
        while not stop.is_set():
            try:
                self._tick()
                self.done += 1
            except ThriveError as error:
                self.failed += 1
                _logger.warning("tick: %s: %s", error.code, error.what)
            except Exception:
                self.failed += 1
                _logger.exception("tick")
            stop.wait(self._every)


class Child:
    """Keeps one child process alive, and at the end interrupts it, so that its job goes back.

    Args:
        command: the program and its arguments.
        environment: its environment variables, None for those of this process.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._command = list(command)
        self._environment = environment
        self._pause = 0.0

    def run(self, stop: threading.Event) -> None:
        """Start the child, again whenever it dies, until `stop` is set; then stop it."""
        try:
            while not stop.is_set():
                self._live_once(stop)
                stop.wait(self._pause)
        finally:
            self._leave()

    def _live_once(self, stop: threading.Event) -> None:
        began = time.monotonic()
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            env=self._environment,
            start_new_session=True,
        )
        self.starts += 1
        while self.process.poll() is None and not stop.wait(LOOK_EVERY_S):
            pass
        if self.process.poll() is None:
            return
        _logger.warning("the worker left with %s and is started again", self.process.returncode)
        healthy = time.monotonic() - began > HEALTHY_S
        self._pause = 0.0 if healthy else min(max(0.5, self._pause * 2), LONGEST_PAUSE_S)

    def _leave(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(LEAVE_S)
                return


class Background:
    """The threads of whatever runs beside the requests.

    Args:
        ticker: the tick, None to run none here.
        child: the worker, None to run none here.
    """

    def __init__(self, ticker: Ticker | None = None, child: Child | None = None) -> None:
        self._ticker = ticker
        self._child = child
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=each.run, args=(self._stop,), name=type(each).__name__)
            for each in (ticker, child)
            if each is not None
        ]

    def start(self) -> None:
        """Start what there is."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the tick at work end, and the child leave."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def counters(self) -> dict[str, float]:
        """Return what was done, by metric name."""
        counted: dict[str, float] = {}
        if self._ticker is not None:
            counted["thrive_ticks_total"] = self._ticker.done
            counted["thrive_tick_failures_total"] = self._ticker.failed
        if self._child is not None:
            counted["thrive_worker_starts_total"] = self._child.starts
        return counted
