"""What a serving agent asks of the control plane, and the answer of a home on this machine."""

import threading
from typing import Protocol
from weakref import WeakKeyDictionary

from thrive.contract.parse import parse
from thrive.contract.schema import Contract, ModelTerms, Risk
from thrive.domain.clock import ClockMode
from thrive.domain.features import FeatureSpec
from thrive.domain.model import Model
from thrive.domain.release import RoutingTable, ServingHost
from thrive.serving.routes import Routes, ServedModel
from thrive.serving.sealing import seal_logs
from thrive.store import changes, models, projects, releases, worker_numbers
from thrive.store.database import Tx
from thrive.store.home import Home


class ControlPlane(Protocol):
    """The little an agent needs; every method may fail while the control plane is gone."""

    def routing(self, wait_s: float) -> Routes | None:
        """Return the routes, or None when they are what was returned last.

        Args:
            wait_s: how long it may wait for them to change.
        """
        ...

    def fetch(self, digest: str) -> bytes:
        """Return the blob of a package's manifest or file."""
        ...

    def ship(self) -> int:
        """Bring what workers logged into the store; return how many rows."""
        ...

    def worker_numbers(self, log_id: str, count: int) -> list[int]:
        """Return numbers for the workers that write a log folder; no other folder has them."""
        ...

    def heartbeat(self, host: ServingHost) -> None:
        """Say how this host is."""
        ...


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


class RoutesReader:
    """The routes of a home, read anew only after something changed; safe to use from many threads.

    Args:
        home: the project's home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._known: tuple[tuple[int, int], Routes] | None = None
        self._contracts: dict[str, Contract | None] = {}

    def read(self) -> Routes:
        """Return the routes: the very same object as long as nothing changed."""
        project = self._home.project
        with self._lock, self._home.read() as tx:
            clock = projects.clock(tx, project.project_id)
            mark = (changes.head(tx, project.project_id), clock.replay_now)
            if self._known is not None and self._known[0] == mark:
                return self._known[1]
            served = [self._served(tx, model) for model in models.find(tx, project.project_id)]
            routes = Routes(
                project=project.name,
                project_id=project.project_id,
                models={each.model: each for each in served},
                replay=clock.mode is ClockMode.REPLAY,
                now=clock.replay_now if clock.mode is ClockMode.REPLAY else 0,
            )
            self._known = (mark, routes)
            return routes

    def _served(self, tx: Tx, model: Model) -> ServedModel:
        table = releases.current_routing(tx, self._home.project_id, model.name)
        if table is None:
            return ServedModel(model=model.name, revision=0, variants=[])
        terms = self._terms(tx, table)
        return ServedModel(
            model=model.name,
            revision=table.revision,
            variants=table.variants,
            fallback=table.fallback,
            fallback_rules=terms.fallback_rules,
            salt=table.salt,
            entity=terms.entity,
            segments=terms.segments,
            threshold=terms.target.threshold,
            sample=terms.log.sample,
            mask=terms.log.mask,
            override=terms.release.override,
            features=self._features(tx, table),
            must_log=terms.risk is Risk.HIGH,
        )

    def _features(self, tx: Tx, table: RoutingTable) -> dict[str, FeatureSpec]:
        """Return the feature views of each version that has some."""
        found = {
            each.version: models.get_version(tx, self._home.project_id, table.model, each.version)
            for each in table.variants
        }
        return {
            str(number): one.features for number, one in found.items() if one.features is not None
        }

    def _terms(self, tx: Tx, table: RoutingTable) -> ModelTerms:
        """Return the terms of the contract that the first variant was registered under.

        While nothing is live, of the version that was live last: its keys and its fallback hold.
        """
        project_id = self._home.project_id
        if not table.variants:
            before = releases.routing_history(tx, project_id, table.model)
            table = next((each for each in before if each.variants), table)
        if not table.variants:
            return ModelTerms()
        version = models.get_version(tx, project_id, table.model, table.variants[0].version)
        digest = version.contract
        if digest not in self._contracts:
            stored = projects.find_contract(tx, project_id, digest)
            self._contracts[digest] = parse(stored.text).contract if stored else None
        contract = self._contracts[digest]
        return contract.model.get(table.model, ModelTerms()) if contract else ModelTerms()


_readers: WeakKeyDictionary[Home, RoutesReader] = WeakKeyDictionary()
_readers_lock = threading.Lock()


def routes_of(home: Home) -> Routes:
    """Return the routes of a home that many hosts ask for: read once for all of them."""
    with _readers_lock:
        reader = _readers.setdefault(home, RoutesReader(home))
    return reader.read()
