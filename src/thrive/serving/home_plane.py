"""A home on the machine of its serving host, as the control plane of the agent there."""

import threading
from weakref import WeakKeyDictionary

from thrive.domain.clock import ClockState
from thrive.domain.left_out import LeftOut
from thrive.domain.model import ModelVersion
from thrive.domain.release import RoutingTable, ServingHost
from thrive.serving.routes import Routes
from thrive.serving.sealing import seal_logs
from thrive.serving.served import Terms, routes_from
from thrive.store import changes, models, projects, releases, restrictions, worker_numbers
from thrive.store.database import Tx
from thrive.store.home import Home


class LocalControlPlane:
    """A home on the same machine as the control plane.

    Args:
        home: the project's home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._reader = RoutesReader(home)
        self._last: Routes | None = None

    def routing(self, wait_s: float) -> Routes | None:  # noqa: ARG002 - looking costs next to nothing
        """Return the routes, or None when nothing changed: that costs two tiny queries."""
        routes = self._reader.read()
        if routes is self._last:
            return None
        self._last = routes
        return routes

    def fetch(self, digest: str) -> bytes:
        """Return a blob of the home."""
        return self._home.blobs.get(digest)

    def ship(self) -> int:
        """Seal what is due on this host."""
        return seal_logs(self._home)

    def worker_numbers(self, log_id: str, count: int) -> list[int]:
        """Take numbers that are unique in the project."""
        with self._home.write() as tx:
            return worker_numbers.take(tx, self._home.project_id, log_id, count)

    def heartbeat(self, host: ServingHost) -> None:
        """Write the host's row: an observation, without audit."""
        with self._home.write() as tx:
            releases.save_host(tx, self._home.project_id, host)


class _Rows:
    """The facts of a project in an open transaction."""

    def __init__(self, tx: Tx, project_id: str) -> None:
        self._tx = tx
        self._project_id = project_id

    def clock(self) -> ClockState:
        return projects.clock(self._tx, self._project_id)

    def models(self) -> list[str]:
        return [each.name for each in models.find(self._tx, self._project_id)]

    def routing(self, model: str) -> RoutingTable | None:
        return releases.current_routing(self._tx, self._project_id, model)

    def routing_history(self, model: str) -> list[RoutingTable]:
        return releases.routing_history(self._tx, self._project_id, model)

    def version(self, model: str, number: int) -> ModelVersion:
        return models.get_version(self._tx, self._project_id, model, number)

    def left_out(self) -> list[LeftOut]:
        return restrictions.asked_about(self._tx, self._project_id)

    def contract(self, digest: str) -> str | None:
        stored = projects.find_contract(self._tx, self._project_id, digest)
        return stored.text if stored else None


class RoutesReader:
    """The routes of a home, read anew only after something changed; safe to use from many threads.

    Args:
        home: the project's home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._known: tuple[tuple[int, int], Routes] | None = None
        self._terms = Terms()

    def read(self) -> Routes:
        """Return the routes: the very same object as long as nothing changed."""
        project = self._home.project
        with self._lock, self._home.read() as tx:
            facts = _Rows(tx, project.project_id)
            mark = (changes.head(tx, project.project_id), facts.clock().replay_now)
            if self._known is None or self._known[0] != mark:
                routes = routes_from(facts, project.project_id, project.name, self._terms)
                self._known = (mark, routes)
            return self._known[1]


_readers: WeakKeyDictionary[Home, RoutesReader] = WeakKeyDictionary()
_readers_lock = threading.Lock()


def routes_of(home: Home) -> Routes:
    """Return the routes of a home that many hosts ask for: read once for all of them."""
    with _readers_lock:
        reader = _readers.setdefault(home, RoutesReader(home))
    return reader.read()
