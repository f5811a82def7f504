"""What runs beside the requests: ticks on threads, and workers in processes of their own."""

import contextlib
import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from thrive.domain.errors import ThriveError

_logger = logging.getLogger("thrive.server")

TICK_EVERY_S = 5.0
TICKS_AT_ONCE = 4
"""So that a project whose tick takes long does not hold up the others."""
HEALTHY_S = 5.0
"""A child that lived this long is restarted at once; a younger one after a growing pause."""
LONGEST_PAUSE_S = 30.0
LOOK_EVERY_S = 0.2
ERRANDS_EVERY_S = 1.0
LEAVE_S = 10.0

Ticks = Callable[[], Iterable[tuple[str, Callable[[], object]]]]
"""Returns what is to be ticked: an id, and what does what is due there."""


class Ticker:
    """Calls each project's tick every few seconds; a failure is told in the log and tried again.

    Args:
        ticks: what to call; each takes its own lease, so several servers may call it.
        every: seconds between the beginnings of two rounds; a tick still at work is left alone.
    """

    def __init__(self, ticks: Ticks, every: float = TICK_EVERY_S) -> None:
        self.done = 0
        self.failed = 0
        self._ticks = ticks
        self._every = every
        self._counting = threading.Lock()
        self._at_work: dict[str, Future[None]] = {}

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop` is set; then wait for what is at work."""
        pool = ThreadPoolExecutor(TICKS_AT_ONCE, thread_name_prefix="Tick")
        while not stop.is_set():
            self._guarded(lambda: self._begin(pool), counts=False)
            stop.wait(self._every)
        pool.shutdown(cancel_futures=True)

    def _begin(self, pool: ThreadPoolExecutor) -> None:
        self._at_work = {key: each for key, each in self._at_work.items() if not each.done()}
        for key, tick in self._ticks():
            if key not in self._at_work:
                self._at_work[key] = pool.submit(self._guarded, tick)

    def _guarded(self, work: Callable[[], object], *, counts: bool = True) -> None:
        failed = True
        try:
            work()
            failed = False
        except ThriveError as error:
            _logger.warning("tick: %s: %s", error.code, error.what)
        except Exception:
            _logger.exception("tick")
        with self._counting:
            self.failed += failed
            self.done += counts and not failed


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
            if self.process is not None:
                _interrupt(self.process)

    def _live_once(self, stop: threading.Event) -> None:
        began = time.monotonic()
        self.process = _start(self._command, self._environment)
        self.starts += 1
        while self.process.poll() is None and not stop.wait(LOOK_EVERY_S):
            pass
        if self.process.poll() is None:
            return
        _logger.warning("the worker left with %s and is started again", self.process.returncode)
        healthy = time.monotonic() - began > HEALTHY_S
        self._pause = 0.0 if healthy else _longer(self._pause)


class Errands:
    """Starts a process for each place with something to do, and lets it leave when it is done.

    One that fails is started again after a growing pause. At the end all are interrupted.

    Args:
        wanted: returns the places with something to do.
        command: returns the program and its arguments for a place.
        at_once: how many may run.
        every: seconds between two looks.
    """

    def __init__(
        self,
        wanted: Callable[[], Iterable[str]],
        command: Callable[[str], Sequence[str]],
        at_once: int,
        every: float = ERRANDS_EVERY_S,
    ) -> None:
        self.starts = 0
        self._wanted = wanted
        self._command = command
        self._at_once = at_once
        self._every = every
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._pauses: dict[str, tuple[float, float]] = {}
        self._begun: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Run errands until `stop` is set; then stop those that run."""
        try:
            while not stop.wait(self._every):
                self._look()
        finally:
            for process in self._running.values():
                _interrupt(process)

    def _look(self) -> None:
        self._settle()
        try:
            wanted = set(self._wanted()) - self._running.keys()
        except ThriveError as error:
            _logger.warning("workers: %s: %s", error.code, error.what)
            return
        ready = [
            each for each in wanted if self._pauses.get(each, (0.0, 0.0))[0] < time.monotonic()
        ]
        ready.sort(key=lambda place: self._begun.get(place, 0.0))  # who waited longest comes first
        for place in ready[: self._at_once - len(self._running)]:
            self._running[place] = _start(self._command(place))
            self._begun[place] = time.monotonic()
            self.starts += 1

    def _settle(self) -> None:
        """Forget those that left, and remember who failed."""
        for place, process in list(self._running.items()):
            if process.poll() is None:
                continue
            del self._running[place]
            if process.returncode == 0:
                self._pauses.pop(place, None)
                continue
            pause = _longer(self._pauses.get(place, (0.0, 0.0))[1])
            self._pauses[place] = (time.monotonic() + pause, pause)
            _logger.warning("the worker of %s left with %s", place, process.returncode)


def _longer(pause: float) -> float:
    return min(max(0.5, pause * 2), LONGEST_PAUSE_S)


def _start(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own: a Ctrl-C at the terminal is ours to pass on."""
    return subprocess.Popen(
        list(command), stdin=subprocess.DEVNULL, env=environment, start_new_session=True
    )


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Stop a process, the friendly way first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LEAVE_S)


class Background:
    """The threads of whatever runs beside the requests.

    Args:
        ticker: the tick, None to run none here.
        workers: what keeps or starts worker processes; empty to run none here.
    """

    def __init__(
        self, ticker: Ticker | None = None, workers: Sequence[Child | Errands] = ()
    ) -> None:
        self._ticker = ticker
        self._workers = workers
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=each.run, args=(self._stop,), name=type(each).__name__)
            for each in (ticker, *workers)
            if each is not None
        ]

    def start(self) -> None:
        """Start what there is."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the ticks at work end, and the workers leave."""
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
        if self._workers:
            counted["thrive_worker_starts_total"] = sum(each.starts for each in self._workers)
        return counted
