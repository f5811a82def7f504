"""The agent of a serving host: the one process there that speaks with the control plane."""

import contextlib
import fcntl
import ipaddress
import logging
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import msgspec

from thrive.domain.clock import machine_now
from thrive.domain.errors import Conflict, Refused, ThriveError
from thrive.domain.release import ServingHost
from thrive.serving.control_plane import ControlPlane
from thrive.serving.counters import FOLDER as STATES
from thrive.serving.counters import common_revisions, read_states
from thrive.serving.hosts import HEARTBEAT_EVERY_S
from thrive.serving.limits import Limits
from thrive.serving.numbers import own_numbers
from thrive.serving.packages import PackageCache
from thrive.serving.routes import (
    FILE_NAME,
    Routes,
    ServedModel,
    mark_checked,
    read_routes,
    write_routes,
)
from thrive.serving.workers import WorkerPool
from thrive.settings import read_settings

_logger = logging.getLogger(__name__)

POLL_EVERY_S = 0.25
RETRY_S = 2.0
"""How long a package that could not be had is left alone before it is asked for again."""
RECONNECT_S = 1.0
SHIP_EVERY_S = 15.0
"""How often the log is looked at for parts to ship; more often where parts are due sooner."""
LONGEST_WAIT_S = 10.0
"""How long one question for new routes may wait for an answer: an answer proves the way is open."""
SHIP_NICE = 10
"""How much the thread that encodes the log stands back from those who answer and ask."""
LEAVE_S = 20.0
"""How long a shipment under way is waited for at the end; what it leaves is shipped next time."""
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
    """Where a host listens, with how many workers, and which models it serves (none: all).

    `grpc_port` is the port of gRPC, 0 for none.
    """

    host: str = "127.0.0.1"
    port: int = 8100
    workers: int = 1
    limits: Limits = Limits()
    models: frozenset[str] = frozenset()
    grpc_port: int = 0

    @property
    def grpc(self) -> str:
        """Where gRPC is answered, "" for nowhere."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.grpc_port}" if self.grpc_port else ""


class Crew(Protocol):
    """The workers of a host, wherever they run."""

    def pids(self) -> dict[int, int]:
        """Return the process of each worker that has one, by number."""
        ...

    def keep(self) -> None:
        """Start what does not run; called often."""
        ...

    def stop(self) -> None:
        """Have all of them answer what has come, and wait until they have."""
        ...


class Agent:
    """Follows the routing table, keeps the workers alive, ships what they log.

    Each of the three, the heartbeat and the fetching of packages have a thread of their own:
    whatever hangs while the control plane is out of reach, or is slow to arrive, holds up nothing
    else. What was last in force is kept in the cache, so that a host serves on, and starts again,
    without a control plane.

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
        self._in_force: Routes | None = None
        self._lock = threading.Lock()
        self._lacking = threading.Event()
        self._troubles: dict[str, str] = {}
        self._contact = Contact()
        self.agent_id = blake2b(
            f"{socket.gethostname()}|{cache}".encode(), digest_size=16
        ).hexdigest()

    def run(self, stop: threading.Event, announce: Callable[[str], None]) -> ServingHost:
        """Serve until `stop` is set; return the host's last word.

        Args:
            stop: set it to drain and leave.
            announce: called with the address once every worker is ready.

        Raises:
            Refused: the address is not of this machine alone, and callers need no token; or a
                model of high risk would answer without a log.
            NotFound: a model that was named is not registered.
            Conflict: another agent serves this home, or the port is taken.
            StoreUnavailable: the control plane is gone, and nothing of it is known here.
        """
        if not self._options.limits.callers:
            _require_loopback(self._options.host)
        with only_agent(self._cache), _listen(self._options) as listening:
            url = _url(self._options.host, listening)
            last = self._run(stop, announce, url, self._pool_on(listening))
        return msgspec.structs.replace(last, url=url)

    def run_beside(
        self,
        stop: threading.Event,
        announce: Callable[[str], None],
        url: str,
        crew_of: Callable[[list[int]], Crew],
    ) -> ServingHost:
        """Serve where somebody else listens until `stop` is set; return the host's last word.

        The caller holds the folder by `only_agent`.

        Args:
            stop: set it to drain and leave.
            announce: called with the address once every worker is ready.
            url: what the host says of where it answers.
            crew_of: makes the workers that have the numbers it is given.

        Raises:
            Refused, NotFound, StoreUnavailable: as `run` does.
        """
        return self._run(stop, announce, url, crew_of)

    def _pool_on(self, listening: socket.socket) -> Callable[[list[int]], Crew]:
        def pool(numbers: list[int]) -> WorkerPool:
            options = self._options
            return WorkerPool(
                listening, numbers, self._cache, self._log, options.limits, options.grpc
            )

        return pool

    def _run(
        self,
        stop: threading.Event,
        announce: Callable[[str], None],
        url: str,
        crew_of: Callable[[list[int]], Crew],
    ) -> ServingHost:
        shutil.rmtree(self._cache / STATES, ignore_errors=True)
        known = self._take_known()
        crew = crew_of(own_numbers(self._plane, self._log, self._options.workers))
        crew.keep()  # workers wait for their first routes: both start at once
        try:
            self._begin(known)
        except BaseException:
            crew.stop()
            raise
        ready = threading.Event()
        shipping = self._repeat(stop, self._ship, nice=SHIP_NICE)
        self._repeat(stop, self._follow_on)
        self._repeat(stop, self._fetch_on)
        self._repeat(stop, lambda: self._say(ready, url))
        try:
            self._watch(crew, stop, ready, lambda: self._announce(url, announce))
        finally:
            stop.set()
            (self._cache / ANNOUNCEMENT).unlink(missing_ok=True)
            crew.stop()
            shipping.join(LEAVE_S)
            last = self._leave()
        return last

    def _take_known(self) -> Routes | None:
        """Return the routes of last time as far as their packages are here, whole and undamaged.

        Workers do not see them before it is known whether the control plane has newer ones.
        """
        self._packages.drop_damaged()
        try:
            known = read_routes(self._cache)
        except (ThriveError, OSError, msgspec.MsgspecError):
            return None
        finally:
            (self._cache / FILE_NAME).unlink(missing_ok=True)
        whole = {
            name: served
            for name, served in known.models.items()
            if all(self._packages.has(each.package) for each in served.variants)
        }
        return msgspec.structs.replace(known, models=whole).only(self._options.models)

    def _begin(self, known: Routes | None) -> None:
        """Write the first routing file: the control plane's, or what is known from last time."""
        self._routes = known
        if self._follow(0.0):
            for served in self._lacks():
                self._fetch(served)
        self._put_in_force()
        if known is not None and self._routes is known:
            write_routes(self._cache, known)
        if self._routes is not None:
            self._routes.refuse_unknown(self._options.models)
            self._routes.refuse_unlogged()
            self._packages.drop_all_but(self._routes.packages())

    def _repeat(
        self, stop: threading.Event, step: Callable[[], float], *, nice: int = 0
    ) -> threading.Thread:
        """Take a step again and again on a thread; it returns how long to pause (s)."""

        def run() -> None:
            if nice and sys.platform == "linux":  # elsewhere it would slow the whole process
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
            stop.wait(POLL_EVERY_S)  # the workers load what was found a moment ago
            while not stop.is_set():
                try:
                    pause = step()
                except Exception:
                    _logger.exception("serving goes on without this step")
                    pause = RETRY_S
                stop.wait(pause)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _watch(
        self,
        crew: Crew,
        stop: threading.Event,
        ready: threading.Event,
        announce: Callable[[], None],
    ) -> None:
        while not stop.is_set():
            crew.keep()
            if not ready.is_set() and self._all_ready(crew):
                announce()
                ready.set()
            stop.wait(TURN_S)

    def _announce(self, url: str, announce: Callable[[str], None]) -> None:
        said = Announcement(url=url, pid=os.getpid(), workers=self._options.workers)
        unfinished = self._cache / f".{ANNOUNCEMENT}"
        unfinished.write_bytes(msgspec.json.encode(said))
        unfinished.replace(self._cache / ANNOUNCEMENT)
        announce(url)

    def _all_ready(self, crew: Crew) -> bool:
        ready = {state.worker: state.pid for state in read_states(self._cache)}
        pids = crew.pids()
        return len(pids) == self._options.workers and ready == pids

    def _follow_on(self) -> float:
        began = time.monotonic()
        reached = self._follow(LONGEST_WAIT_S)
        self._put_in_force()
        pause = POLL_EVERY_S if reached else RECONNECT_S
        return max(0.0, began + pause - time.monotonic())

    def _follow(self, wait_s: float) -> bool:
        """Compare the routes with the control plane; when it is gone, the last ones stay."""
        try:
            routes = self._plane.routing(wait_s)
        except _TROUBLE as error:
            self._contact.lost(error)
            return False
        self._contact.made()
        if routes is not None:
            self._wanted = routes.only(self._options.models)
        mark_checked(self._cache)
        return True

    def _put_in_force(self) -> None:
        """Have the workers answer as the routes say, each model once its packages are here."""
        with self._lock:
            wanted = self._wanted
            if wanted is None or wanted is self._in_force:
                return
            models = {name: self._whole(served) for name, served in wanted.models.items()}
            ready = msgspec.structs.replace(wanted, models=models)
            if ready != self._routes or not (self._cache / FILE_NAME).exists():
                write_routes(self._cache, ready)
                self._routes = ready
            if models == wanted.models:
                self._in_force = wanted
            else:
                self._lacking.set()

    def _whole(self, served: ServedModel) -> ServedModel:
        """Return a model if its packages are here, else the model as it was."""
        if self._is_here(served):
            return served
        known = self._routes.models.get(served.model) if self._routes else None
        return known or msgspec.structs.replace(served, variants=[])

    def _is_here(self, served: ServedModel) -> bool:
        return all(self._packages.has(each.package) for each in served.variants)

    def _lacks(self) -> list[ServedModel]:
        wanted = self._wanted.models.values() if self._wanted else ()
        return [each for each in wanted if not self._is_here(each)]

    def _fetch_on(self) -> float:
        """Fetch what is lacking; models that lack nothing follow the routes meanwhile."""
        if not self._lacking.wait(HEARTBEAT_EVERY_S):
            return 0.0
        self._lacking.clear()
        for served in self._lacks():
            self._fetch(served)
            self._put_in_force()
        return RETRY_S if self._lacking.is_set() else 0.0

    def _fetch(self, served: ServedModel) -> None:
        """Fetch a model's packages; one that cannot be had is asked for again later."""
        try:
            for variant in served.variants:
                self._packages.add(variant.package, self._plane.fetch)
        except _TROUBLE as error:
            if self._troubles.get(served.model) != str(error):
                _logger.error("%s stays as it was: %s", served.model, error)  # noqa: TRY400
            self._troubles[served.model] = str(error)
        else:
            self._troubles.pop(served.model, None)

    def _ship(self) -> float:
        self._attempt(self._plane.ship)
        return min(SHIP_EVERY_S, max(1.0, read_settings().seal_seconds / 4))

    def _say(self, ready: threading.Event, url: str) -> float:
        if ready.wait(HEARTBEAT_EVERY_S):
            self._attempt(lambda: self._plane.heartbeat(self.state(url)))
        return HEARTBEAT_EVERY_S if ready.is_set() else 0.0

    def _leave(self) -> ServingHost:
        """Bring the rest of the log away and say goodbye, if there is anybody to say it to."""
        last = self.state("")
        if self._contact.there:
            self._attempt(self._plane.ship)
            self._attempt(lambda: self._plane.heartbeat(last))
        return last

    def state(self, url: str) -> ServingHost:
        """Return what this host says of itself, answering at a URL; "" when it leaves."""
        states = read_states(self._cache)
        return ServingHost(
            agent_id=self.agent_id,
            host=socket.gethostname(),
            url=url,
            revision=max(common_revisions(states).values(), default=0),
            seen_at=machine_now(),
            answered=sum(state.answered for state in states),
            failed=sum(state.failed for state in states),
            dropped=sum(state.dropped for state in states),
            consumers=self._options.limits.registered,
            unregistered=self._options.limits.unregistered,
        )

    def _attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except _TROUBLE as error:
            _logger.warning("%s", error)


class Contact:
    """Whether the control plane was there when it was last asked; says so when that changes."""

    def __init__(self) -> None:
        self.there = True

    def lost(self, error: Exception) -> None:
        """Note that it did not answer."""
        if self.there:
            _logger.warning("the control plane is gone, the last routes stay in force: %s", error)
        self.there = False

    def made(self) -> None:
        """Note that it answered."""
        if not self.there:
            _logger.warning("the control plane is back")
        self.there = True


def _require_loopback(host: str) -> None:
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise Refused(
            f"{host} would answer other machines, and no token protects it.",
            "give --callers FILE with a token a line, or bind 127.0.0.1",
        )


@contextlib.contextmanager
def only_agent(cache: Path) -> Generator[None]:
    """Be the one agent of a host's folder.

    Raises:
        Conflict: another one is.
    """
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
