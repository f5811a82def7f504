"""What a serving agent asks of the control plane, and the answer of a home on this machine."""

from typing import Protocol

from thrive.contract.parse import parse
from thrive.contract.schema import Contract, ModelTerms
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

    def routing(self) -> Routes | None:
        """Return the routes, or None when they are what was returned last."""
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
        self._seen: tuple[int, int] | None = None
        self._contracts: dict[str, Contract | None] = {}

    def routing(self) -> Routes | None:
        """Return the routes, or None when nothing changed: that costs two tiny queries."""
        project_id = self._home.project_id
        with self._home.read() as tx:
            clock = projects.clock(tx, project_id)
            seen = (changes.head(tx, project_id), clock.replay_now)
            if seen == self._seen:
                return None
            served = [self._served(tx, model) for model in models.find(tx, project_id)]
        self._seen = seen
        return Routes(
            project=self._home.project.name,
            models={each.model: each for each in served},
            replay=clock.mode is ClockMode.REPLAY,
            now=clock.replay_now if clock.mode is ClockMode.REPLAY else 0,
        )

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
            salt=table.salt,
            entity=terms.entity,
            segments=terms.segments,
            threshold=terms.target.threshold,
            sample=terms.log.sample,
            mask=terms.log.mask,
            features=self._features(tx, table),
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
        """Return the terms of the contract that the first variant was registered under."""
        if not table.variants:
            return ModelTerms()
        project_id = self._home.project_id
        version = models.get_version(tx, project_id, table.model, table.variants[0].version)
        digest = version.contract
        if digest not in self._contracts:
            stored = projects.find_contract(tx, project_id, digest)
            self._contracts[digest] = parse(stored.text).contract if stored else None
        contract = self._contracts[digest]
        return contract.model.get(table.model, ModelTerms()) if contract else ModelTerms()
