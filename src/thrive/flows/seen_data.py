"""What a run gets to see of the data it reads: columns that hold personal data by grant alone."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from thrive.contract.parse import ParsedContract
from thrive.contract.schema import DataTerms
from thrive.data.access import (
    PersonalView,
    hidden_words,
    how_to_read,
    log_read,
    seen_digest,
    view_of,
)
from thrive.data.reading import hiding
from thrive.domain.dataset import Column, DatasetVersion
from thrive.domain.errors import Refused
from thrive.flows.derived import Origin
from thrive.operations import Context
from thrive.packaging.manifest import read_manifest


class SeenData:
    """Decides for each version that a run reads, once, and logs it.

    Args:
        ctx: the run's project; its actor is the reader.
        contract: in force.
        say: gets text for people.
    """

    def __init__(self, ctx: Context, contract: ParsedContract, say: Callable[[str], None]) -> None:
        self._ctx = ctx
        self._contract = contract
        self._say = say
        self._views: dict[str, tuple[DatasetVersion, PersonalView]] = {}

    def see(self, version: DatasetVersion) -> None:
        """Decide what the run gets to see of a version."""
        if version.digest in self._views:
            return
        terms = self._contract.contract.data.get(version.dataset, DataTerms())
        with self._ctx.read() as tx:
            view = view_of(tx, self._ctx, version, terms.personal_kinds)
        self._views[version.digest] = version, view
        log_read(self._ctx, version, view)
        if words := hidden_words(version, view):
            self._say(words)

    def digest(self, version: DatasetVersion) -> str:
        """Return what names the rows that the run sees."""
        return seen_digest(version, self._views[version.digest][1])

    def told(self, version: DatasetVersion) -> dict[str, Any]:
        """Return a version as a task is told of it: with what is hidden, and how."""
        hidden = hiding(self._ctx, self._views[version.digest][1])
        return {**msgspec.to_builtins(version), **msgspec.structs.asdict(hidden)}

    def origins(
        self, made: Collection[str], read: Mapping[str, list[str] | None]
    ) -> dict[str, list[Origin]]:
        """Return from which columns of what the run read each column that it makes may come.

        A column of the same name is it. Any other may have been computed from what the run read in
        the clear, for nobody but its author knows; pseudonyms are known by their form.

        Args:
            made: the columns of what it makes.
            read: by digest, the columns of a version that were read; None for all of them.
        """
        found: dict[str, list[Origin]] = {name: [] for name in made}
        clear: list[Origin] = []
        names: set[str] = set()
        for version, view in self._views.values():
            columns = read.get(version.digest)
            label = f"{version.dataset}@{version.version}"
            for column in version.columns:
                names.add(column.name)
                if column.name not in view.columns:
                    continue
                known = self._declared(version.dataset, column)
                if column.name in found:
                    found[column.name].append(Origin(known, label, same=True))
                was_read = columns is None or column.name in columns
                if was_read and column.name not in view.hidden:
                    clear.append(Origin(known, label, same=False))
        return {name: each or ([] if name in names else clear) for name, each in found.items()}

    def _declared(self, dataset: str, column: Column) -> Column:
        """Return a column with what the contract in force says of it."""
        terms = self._contract.contract.data.get(dataset, DataTerms())
        said = terms.personal_kinds.get(column.name) or column.personal
        return msgspec.structs.replace(column, personal=said)

    def refuse_model(self, model: str, package: str) -> None:
        """Refuse to register a model that takes as input what the run saw as pseudonyms alone.

        It would be asked with real values, and know none of them.

        Args:
            model: its name.
            package: digest of its package.

        Raises:
            Refused: it does, or a pseudonym is its target.
        """
        manifest = read_manifest(self._ctx.home.blobs.get(package), digest=package)
        terms = self._contract.contract.model.get(model)
        wanted = {*manifest.signature.names, *([terms.target.column] if terms else [])}
        for version, view in self._views.values():
            learned = [each for each in view.hidden if each in wanted]
            if learned:
                raise Refused(
                    f"{model} learned from pseudonyms in the place of {', '.join(learned)} of "
                    f"{version.dataset}@{version.version}, and would be asked with real values.",
                    f"leave them out, or: {how_to_read(version)}",
                )
