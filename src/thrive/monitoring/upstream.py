"""Where a fault of the data comes from: the dataset behind the inputs, and what changed of it."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from thrive.contract.schema import Contract
from thrive.domain.dataset import DatasetVersion
from thrive.domain.model import ModelVersion
from thrive.operations import Context
from thrive.store import datasets, features


class Upstream(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A dataset that faulty inputs come from.

    Attributes:
        dataset: its name.
        owner: the team that answers for it.
        view: the feature view between it and the model; "" for none.
        version: the newest one at the end of the last bad window; None if none is recorded.
        made_at: when that was made, UTC microseconds.
        changed: it was made after the last good window: the likely cause.
    """

    dataset: str
    owner: str
    view: str = ""
    version: int | None = None
    made_at: int | None = None
    changed: bool = False


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """The time in which something went wrong: from the last good window to the last bad one."""

    start: int
    end: int


class DataBehind:
    """The datasets behind a model version: those its contract names, and what its views read."""

    def __init__(self, ctx: Context, version: ModelVersion, contract: Contract) -> None:
        self._contract = contract
        views = version.features.views if version.features is not None else []
        with ctx.read() as tx:
            sources = {
                view.definition.name: view.definition.sources
                for view in (features.newest(tx, ctx.project_id) if views else [])
            }
            self._views = {
                view.name: (sources.get(view.name, []), {each.name for each in view.columns})
                for view in views
            }
            named = [*contract.data, *(each for read, _ in self._views.values() for each in read)]
            self._versions = {
                name: datasets.versions(tx, ctx.project_id, name) for name in dict.fromkeys(named)
            }

    def changes(self, stretch: Stretch) -> list[Upstream]:
        """Return the datasets that got a new version in a stretch of time, with the newest."""
        found = (self._upstream(name, stretch) for name in self._versions)
        return [each for each in found if each.changed]

    def of(self, columns: Collection[str], stretch: Stretch) -> Upstream | None:
        """Return the dataset that faulty inputs most likely come from, None if nothing tells.

        An input belongs to the sources of the feature view that holds it, to a dataset that has a
        column of its name, or to one whose own name begins the input's. When that names none, the
        one dataset that changed meanwhile counts, then the only one of the contract. Of several
        that are named as often, one that changed counts.
        """
        votes = {name: self._votes(name, columns) for name in self._versions}
        voted = {name: count for name, count in votes.items() if count}
        changed = {each.dataset for each in self.changes(stretch)}
        if not voted and len(changed) == 1:
            voted = dict.fromkeys(changed, 1)
        if not voted and len(self._contract.data) == 1:
            voted = dict.fromkeys(self._contract.data, 1)
        if not voted:
            return None
        name = max(voted, key=lambda key: (voted[key], key in changed))
        return msgspec.structs.replace(
            self._upstream(name, stretch), view=self._view(name, columns)
        )

    def _votes(self, name: str, columns: Collection[str]) -> int:
        terms = self._contract.data.get(name)
        known = self._versions[name]
        held = {column.name for column in known[0].columns} if known else set[str]()
        held |= set(terms.personal_kinds) if terms is not None else set()
        for sources, provided in self._views.values():
            held |= provided if name in sources else set()
        prefix = name.replace("-", "_")
        return sum(column in held or column.startswith(prefix) for column in columns)

    def _view(self, name: str, columns: Collection[str]) -> str:
        return next(
            (
                view
                for view, (sources, provided) in self._views.items()
                if name in sources and provided & set(columns)
            ),
            "",
        )

    def _upstream(self, name: str, stretch: Stretch) -> Upstream:
        terms = self._contract.data.get(name)
        known = _newest(self._versions[name], stretch.end)
        return Upstream(
            dataset=name,
            owner=terms.owner if terms is not None else "",
            version=known.version if known else None,
            made_at=known.created_at if known else None,
            changed=known is not None and known.version > 1 and known.created_at > stretch.start,
        )


def _newest(versions: Sequence[DatasetVersion], until: int) -> DatasetVersion | None:
    """Return the newest version that was there at a moment."""
    return next((each for each in versions if each.created_at <= until), None)


def words(upstream: Mapping[str, object], made: str) -> str:
    """Return a sentence about where faulty inputs come from.

    Args:
        upstream: an `Upstream` as the evidence of an alert holds it.
        made: the moment its version was made, in words; "" if none is known.
    """
    version = f"@{upstream['version']}" if upstream.get("version") else ""
    through = f" through the feature view {upstream['view']}" if upstream.get("view") else ""
    said = f"They come from {upstream['dataset']}{version}{through}"
    if made and upstream.get("changed"):
        said += f", made {made}, after the last good window"
    return said + (f"; {upstream['owner']} answers for it." if upstream.get("owner") else ".")
