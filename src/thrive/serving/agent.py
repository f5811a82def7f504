"""The agent of a serving host: the one process there that speaks with the control plane."""

import contextlib
import fcntl
import ipaddress
import logging
import math
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Generator
from hashlib import blake2b
from pathlib import Path

import msgspec

from thrive.domain.clock import machine_now
from thrive.domain.errors import Conflict, Refused, ThriveError
from thrive.domain.release import ServingHost
from thrive.serving.asgi import Limits
from thrive.serving.control_plane import ControlPlane
from thrive.serving.counters import FOLDER as STATES
from thrive.serving.counters import common_revisions, read_states
from thrive.serving.hosts import HEARTBEAT_EVERY_S
from thrive.serving.numbers import own_numbers
from thrive.serving.packages import PackageCache
from thrive.serving.routes import FILE_NAME, Routes, ServedModel, mark_checked, write_routes
from thrive.serving.workers import WorkerPool

_logger = logging.getLogger(__name__)

POLL_EVERY_S = 0.25
RETRY_S = 2.0
"""How long a package that could not be had is left alone before it is asked for again."""
SHIP_EVERY_S = 15.0
TURN_S = 0.05
ANNOUNCEMENT = "serving.json"
_LOCK = "agent.lock"
_TROUBLE = (ThriveError, OSError)


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """What `serving.json` in the cache folder says while an agent runs here."""

    url: str
    pid: int
    workers: int


class AgentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where a host listens and with how many workers."""

    host: str = "127.0.0.1"
    port: int = 8100
    workers: int = 1
    limits: Limits = Limits()


class Agent:
    """Follows the routing table, keeps the workers alive, ships what they log.

    Args:
        plane: the control plane.
        cache: the folder of routing file and packages.
        log: the folder of the prediction log.
        options: where to listen.
    """

    def __init__(self, plane: ControlPlane, cache: Path, log: Path, options: AgentOptions) -> None:
        self._plane = plane
        self._cache = cache
        self._log = log
        self._options = options
        self._packages = PackageCache(cache / "packages")
        self._routes: Routes | None = None
        self._wanted: Routes | None = None
        self._retry_at = 0.0
        self.agent_id = blake2b(
            f"{socket.gethostname()}|{cache}".encode(), digest_size=16
        ).hexdigest()

    def run(self, stop: threading.Event, announce: Callable[[str], None]) -> str:
        """Serve until `stop` is set; return the address that was served.

        Args:
            stop: set it to drain and leave.
            announce: called with the address once every worker is ready.

        Raises:
            Refused: the address is not of this machine alone.
            Conflict: another agent serves this home, or the port is taken.
        """
        _require_loopback(self._options.host)
        with _only_agent(self._cache), _listen(self._options) as listening:
            url = _url(self._options.host, listening)
            shutil.rmtree(self._cache / STATES, ignore_errors=True)
            (self._cache / FILE_NAME).unlink(missing_ok=True)
            numbers = own_numbers(self._plane, self._log, self._options.workers)
            pool = WorkerPool(listening, numbers, self._cache, self._log, self._options.limits)
            pool.keep()  # workers wait for their first routes: both start at once
            self._follow()
            if self._routes is not None:
                self._packages.drop_all_but(self._routes.packages())
            shipper = threading.Thread(target=self._ship_often, args=(stop,), daemon=True)
            shipper.start()
            try:
                self._watch(pool, url, stop, announce)
            finally:
                stop.set()
                (self._cache / ANNOUNCEMENT).unlink(missing_ok=True)
                pool.stop()
                shipper.join()
                self._attempt(self._plane.ship)
                self._say("")
        return url

    def _watch(
        self,
        pool: WorkerPool,
        url: str,
        stop: threading.Event,
        announce: Callable[[str], None],
    ) -> None:
        poll_at = beat_at = 0.0
        announced = False
        while not stop.is_set():
            pool.keep()
            now = time.monotonic()
            if now >= poll_at:
                self._follow()
                poll_at = now + POLL_EVERY_S
            if not announced and self._all_ready(pool):
                announced = True
                self._announce(url, announce)
            if announced and now >= beat_at:
                self._say(url)
                beat_at = now + HEARTBEAT_EVERY_S
            stop.wait(TURN_S)

    def _announce(self, url: str, announce: Callable[[str], None]) -> None:
        said = Announcement(url=url, pid=os.getpid(), workers=self._options.workers)
        unfinished = self._cache / f".{ANNOUNCEMENT}"
        unfinished.write_bytes(msgspec.json.encode(said))
        unfinished.replace(self._cache / ANNOUNCEMENT)
        announce(url)

    def _all_ready(self, pool: WorkerPool) -> bool:
        ready = {state.worker: state.pid for state in read_states(self._cache)}
        pids = pool.pids()
        return len(pids) == self._options.workers and ready == pids

    def _follow(self) -> None:
        """Compare the routes with the control plane; when it is gone, the last ones stay."""
        try:
            routes = self._plane.routing()
        except _TROUBLE as error:
            _logger.warning("the routing table cannot be read, the last one stays: %s", error)
            return
        if routes is not None:
            self._wanted, self._retry_at = routes, 0.0
        if self._wanted is not None and time.monotonic() >= self._retry_at:
            routes, self._retry_at = self._wanted, math.inf
            ready = msgspec.structs.replace(
                routes, models={name: self._ready(one) for name, one in routes.models.items()}
            )
            if ready != self._routes:
                write_routes(self._cache, ready)
                self._routes = ready
        mark_checked(self._cache)

    def _ready(self, served: ServedModel) -> ServedModel:
        """Return the model with its packages fetched, or as it was if one cannot be had."""
        try:
            for variant in served.variants:
                self._packages.add(variant.package, self._plane.fetch)
        except _TROUBLE as error:
            _logger.error("%s stays as it was: %s", served.model, error)  # noqa: TRY400
            self._retry_at = time.monotonic() + RETRY_S
            known = self._routes.models.get(served.model) if self._routes else None
            return known or msgspec.structs.replace(served, variants=[])
        return served

    def _ship_often(self, stop: threading.Event) -> None:
        while not stop.wait(SHIP_EVERY_S):
            self._attempt(self._plane.ship)

    def _say(self, url: str) -> None:
        states = read_states(self._cache)
        host = ServingHost(
            agent_id=self.agent_id,
            host=socket.gethostname(),
            url=url,
            revision=max(common_revisions(states).values(), default=0),
            seen_at=machine_now(),
            answered=sum(state.answered for state in states),
            failed=sum(state.failed for state in states),
            dropped=sum(state.dropped for state in states),
        )
        self._attempt(lambda: self._plane.heartbeat(host))

    def _attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except _TROUBLE as error:
            _logger.warning("the control plane is out of reach: %s", error)


def _require_loopback(host: str) -> None:
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise Refused(
            f"{host} would answer other machines, and no token protects it.",
            "bind 127.0.0.1 and put a proxy with authentication before it",
        )


@contextlib.contextmanager
def _only_agent(cache: Path) -> Generator[None]:
    handle = os.open(cache / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("This home is being served already.", "thrive serving status") from None
        yield
    finally:
        os.close(handle)


def _listen(options: AgentOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((options.host, options.port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise Conflict(
            f"Port {options.port} of {options.host} cannot be used: {error.strerror}.",
            "choose another one with --port, or stop what uses it",
        ) from None
    return listening


def _url(host: str, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
