"""What is to be added as a version: from the words of the call and those of the contract."""

import re
from pathlib import Path

import msgspec

from thrive.contract.parse import load
from thrive.contract.schema import DataTerms
from thrive.contract.template import dataset_name
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.identifiers import checked_name


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """The kind of personal data that a column was computed from, and why that is known."""

    kind: str
    why: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to add: the dataset's name, its source, and who answers for it and why.

    `asked` is the source as it was spelled; `source` may name the version that was found there.
    `derived` names columns that were computed from personal ones.
    """

    name: str
    source: str
    asked: str
    owner: str
    why: str
    terms: DataTerms
    derived: dict[str, Derived] = {}


def terms_of(folder: Path | None, name: str) -> DataTerms:
    """Return what a folder's contract says about a dataset; nothing where there is none."""
    if folder is None:
        return DataTerms()
    try:
        return load(folder).contract.data.get(name, DataTerms())
    except NotFound:
        return DataTerms()


def wanted_in(folder: Path, path: str, *, name: str, owner: str, why: str) -> Wanted:
    """Return what `data add` is to add; a folder's contract stands in for what is not given.

    Raises:
        UsageError: neither the call nor the contract says which dataset, or where it is.
    """
    called = checked_name(name or _name_for(folder, path), "dataset")
    terms = terms_of(folder, called)
    source = path or terms.source
    if not source:
        raise UsageError(
            f"Where is the data of {called!r}?", f"thrive data add PATH --name {called}"
        )
    return Wanted(
        name=called,
        source=source,
        asked=source,
        owner=owner or terms.owner,
        why=why or terms.why,
        terms=terms,
    )


def _name_for(folder: Path, path: str) -> str:
    """Return the dataset of the contract that has this source, else a name from the path."""
    declared = load(folder).contract.data
    matching = [name for name, terms in declared.items() if terms.source == path]
    if not path:  # those without a source are made by steps, unless there is no other
        sourced = [name for name, terms in declared.items() if terms.source]
        matching = sourced or list(declared)
    if len(matching) == 1:
        return matching[0]
    if not path:
        shown = ", ".join(matching) or "none"
        raise UsageError(f"Which dataset? The contract has {shown}.", "thrive data add --name NAME")
    name = dataset_name(path, "")
    if not name and re.search(r"\s", path) is None:
        raise UsageError(
            f"{path!r} gives the dataset no name.", f"thrive data add {path} --name NAME"
        )
    return name or "data"
