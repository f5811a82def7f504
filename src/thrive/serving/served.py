"""What a host serves, put together from the facts of a store, however they are read."""

from collections.abc import Sequence
from typing import Protocol

from thrive.contract.parse import parse
from thrive.contract.purposes import purposes_in
from thrive.contract.schema import Contract, ModelTerms, Odd, Risk
from thrive.domain.clock import ClockMode, ClockState
from thrive.domain.features import FeatureSpec
from thrive.domain.left_out import LeftOut
from thrive.domain.release import RoutingTable
from thrive.serving.routes import Routes, ServedModel


class VersionFacts(Protocol):
    """What serving wants to know of a model version."""

    @property
    def contract(self) -> str:
        """The digest of the contract that it was registered under."""
        ...

    @property
    def features(self) -> FeatureSpec | None:
        """The feature views that it was trained on."""
        ...


class Facts(Protocol):
    """The rows of one project that say what is served; all of one moment."""

    def clock(self) -> ClockState:
        """Return the project's clock."""
        ...

    def models(self) -> Sequence[str]:
        """Return the names of all models, in order."""
        ...

    def routing(self, model: str) -> RoutingTable | None:
        """Return what is live for a model now, None when nothing ever was."""
        ...

    def routing_history(self, model: str) -> Sequence[RoutingTable]:
        """Return every routing table a model ever had, newest first."""
        ...

    def version(self, model: str, number: int) -> VersionFacts:
        """Return a version of a model."""
        ...

    def left_out(self) -> list[LeftOut]:
        """Return the people who are not answered about."""
        ...

    def contract(self, digest: str) -> str | None:
        """Return the text of a stored contract."""
        ...


class Terms:
    """The contracts that were read so far: a text does not change under its digest."""

    def __init__(self) -> None:
        self._known: dict[str, Contract | None] = {}

    def of(self, facts: Facts, table: RoutingTable) -> ModelTerms:
        """Return the terms of the contract that the first variant was registered under.

        While nothing is live, of the version that was live last: its keys and its fallback hold.
        """
        if not table.variants:
            before = facts.routing_history(table.model)
            table = next((each for each in before if each.variants), table)
        if not table.variants:
            return ModelTerms()
        digest = facts.version(table.model, table.variants[0].version).contract
        if digest not in self._known:
            text = facts.contract(digest)
            self._known[digest] = parse(text).contract if text is not None else None
        contract = self._known[digest]
        return contract.model.get(table.model, ModelTerms()) if contract else ModelTerms()


def routes_from(facts: Facts, project_id: str, project: str, terms: Terms) -> Routes:
    """Return what hosts of a project answer with.

    Args:
        facts: of the project.
        project_id: its id.
        project: its name.
        terms: the contracts that are known already.
    """
    clock, left_out = facts.clock(), facts.left_out()
    replay = clock.mode is ClockMode.REPLAY
    return Routes(
        project=project,
        project_id=project_id,
        models={model: _served(facts, model, terms, left_out) for model in facts.models()},
        replay=replay,
        now=clock.replay_now if replay else 0,
    )


def _served(facts: Facts, model: str, known: Terms, left_out: list[LeftOut]) -> ServedModel:
    table = facts.routing(model)
    if table is None:
        return ServedModel(model=model, revision=0, variants=[])
    terms = known.of(facts, table)
    return ServedModel(
        model=model,
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
        features=_features(facts, table),
        must_log=terms.risk is Risk.HIGH,
        purposes=sorted(purposes_in(terms, model)),
        left_out=left_out if terms.inputs.restricted is Odd.REFUSE else [],
    )


def _features(facts: Facts, table: RoutingTable) -> dict[str, FeatureSpec]:
    """Return the feature views of each version that has some."""
    found = {
        each.version: facts.version(table.model, each.version).features for each in table.variants
    }
    return {str(number): spec for number, spec in found.items() if spec is not None}
