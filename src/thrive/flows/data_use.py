"""May this data be used for that? Asked before training, and again before promotion.

Retention, legal basis, purpose and labels; each refusal names the line of thrive.toml to fix.
"""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from thrive.contract.gaps import gaps, refusal
from thrive.contract.lines import line_of, path_of
from thrive.contract.parse import ParsedContract
from thrive.contract.purposes import purposes_of
from thrive.contract.schema import DataTerms
from thrive.data.questions import NONE, contradicted, held_back, open_questions
from thrive.domain.clock import format_time
from thrive.domain.dataset import ColumnLabel, DatasetVersion
from thrive.domain.errors import ContractGap, NotFound
from thrive.operations import Context
from thrive.store import column_labels, datasets, runs
from thrive.store.database import Tx


class UseProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why data may not be used: key and line of the contract, what, the cure, who owes it."""

    dataset: str
    key: str
    line: int
    what: str
    fix: str
    owner: str


def use_problems(
    tx: Tx,
    ctx: Context,
    version: DatasetVersion,
    contract: ParsedContract,
    models: Collection[str] | None = None,
) -> list[UseProblem]:
    """Return why a version may not be trained on, or serve models; none if it may.

    Args:
        tx: a transaction.
        ctx: the project; its clock says whether retention has passed.
        version: the data.
        contract: in force.
        models: those it is to serve; None while that is open: then one of the contract's must do.
    """
    known = column_labels.find_labels(tx, ctx.project_id, version.dataset)
    labels = {(label.name, label.dtype): label for label in known}
    terms = contract.contract.data.get(version.dataset, DataTerms())
    found = [
        *_unlabelled(version, terms, labels),
        *_contradicted(version, terms, labels),
        *_without_basis(version, terms),
        *_expired(version, terms, ctx.now()),
        *_misused(version, terms, contract, models),
    ]
    own = [_problem(version, contract, *each) for each in found]
    return [*own, *_inherited(tx, ctx, version, contract, models)]


def _problem(
    version: DatasetVersion, contract: ParsedContract, key: str, what: str, fix: str
) -> UseProblem:
    line = line_of(contract.lines, "data", version.dataset, key)
    terms = contract.contract.data.get(version.dataset, DataTerms())
    return UseProblem(
        dataset=version.dataset, key=key, line=line, what=what, fix=fix, owner=terms.owner
    )


def _inherited(
    tx: Tx,
    ctx: Context,
    version: DatasetVersion,
    contract: ParsedContract,
    models: Collection[str] | None,
) -> list[UseProblem]:
    """Return what stands against the use by its sources: their basis, retention and purposes.

    A legal basis is asked of the personal columns that were read on the way, not of others.
    """
    found: list[UseProblem] = []
    for source, columns in sources_of(tx, ctx.project_id, version):
        terms = contract.contract.data.get(source.dataset, DataTerms())
        said = [
            *_without_basis(source, terms, columns),
            *_expired(source, terms, ctx.now()),
            *_misused(source, terms, contract, models),
        ]
        made = f"{_label(version)} is made from {_label(source)}: "
        found += [_problem(source, contract, key, made + what, fix) for key, what, fix in said]
    return found


_Source = tuple[DatasetVersion, list[str] | None]


def sources_of(tx: Tx, project_id: str, version: DatasetVersion) -> list[_Source]:
    """Return the versions that a version was made from, and those before them, each once.

    Each stands with the columns of it that were read; None where it was read whole.
    """
    found: dict[tuple[str, str], _Source] = {}
    waiting = [version]
    while waiting:
        made_by = waiting.pop().made_by
        for use in runs.find_uses(tx, project_id, made_by) if made_by else []:
            if use.kind != "dataset" or use.direction != "in" or (use.name, use.digest) in found:
                continue
            same = datasets.find_by_digest(tx, project_id, use.digest)
            for each in (each for each in same if each.dataset == use.name):
                found[use.name, use.digest] = each, use.columns
                waiting.append(each)
    return list(found.values())


_Found = Iterator[tuple[str, str, str]]


def _table(version: DatasetVersion) -> str:
    return path_of("data", version.dataset)


def _label(version: DatasetVersion) -> str:
    return f"{version.dataset}@{version.version}"


def refuse_gaps(contract: ParsedContract, kind: str, name: str = "") -> None:
    """Raise what a contract must answer before it is trained with some of its tables.

    Args:
        contract: in force.
        kind: `data` or `model`.
        name: of the one dataset or model that is asked for; all of its kind if not given.

    Raises:
        ContractGap: with the line to fix.
    """
    asked = (kind, name) if name else (kind,)
    blocking = [
        gap for gap in gaps(contract) if gap.blocks == "train" and gap.keys[: len(asked)] == asked
    ]
    if blocking:
        first, more = blocking[0], len(blocking) - 1
        words = refusal(contract.filename, first.line, first.what, first.owner, more)
        raise ContractGap(words, first.fix)


_SHOWN = 20
"""Columns that are named of those that somebody must still say something of."""


def _unlabelled(
    version: DatasetVersion, terms: DataTerms, labels: Mapping[tuple[str, str], ColumnLabel]
) -> _Found:
    asked = open_questions(version, terms.personal_kinds, labels)
    if asked:
        some, rest = asked[:_SHOWN], len(asked) - _SHOWN
        seem = [f"{each.name} ({each.proposed}?)" if each.proposed else each.name for each in some]
        seem += [f"and {rest:,} more"] if rest > 0 else []
        said = ", ".join(f'{path_of(each.name)} = "{each.proposed or NONE}"' for each in some)
        what = f"nobody has said whether columns of {_label(version)} hold personal data"
        fix = f"write personal = {{ {said} }} in [{_table(version)}]"
        if terms.personal:
            fix = f"add {said} to personal in [{_table(version)}]"
        otherwise = f'thrive data confirm {_label(version)} --reason "..."'
        yield "personal", f"{what}: {', '.join(seem)}.", f"{fix}, or: {otherwise}"


def _contradicted(
    version: DatasetVersion, terms: DataTerms, labels: Mapping[tuple[str, str], ColumnLabel]
) -> _Found:
    for column in contradicted(version, terms.personal_kinds, labels):
        name, kind = column.name, column.proposed
        what = f"{name} of {_label(version)} is said to hold no personal data, and seems to hold"
        accept = f'thrive data confirm {_label(version)} {name}={NONE} --reason "..."'
        fix = f'write {name} = "{kind}" in personal of [{_table(version)}], or accept it by name'
        yield "personal", f"{what} {kind}, by {column.why}.", f"{fix}: {accept}"


def _without_basis(
    version: DatasetVersion, terms: DataTerms, columns: Collection[str] | None = None
) -> _Found:
    kinds = {
        each.name: terms.personal_kinds.get(each.name) or each.personal for each in version.columns
    }
    read = kinds if columns is None else columns
    personal = [name for name, kind in kinds.items() if kind not in (None, NONE) and name in read]
    if personal and not terms.has_basis:
        instead = f", but {terms.legal_basis.strip()!r}" if terms.legal_basis.strip() else ""
        what = (
            f"{_label(version)} holds personal data ({', '.join(personal)}) without a legal basis"
        )
        yield (
            "legal_basis",
            f"{what}{instead}.",
            f'write legal_basis = "..." in [{_table(version)}]',
        )


def _expired(version: DatasetVersion, terms: DataTerms, now: int) -> _Found:
    end = terms.kept_until(version.created_at)
    if end is not None and end < now:
        yield (
            "retention",
            f"{_label(version)} was to be kept for {terms.retention}, until {format_time(end)}.",
            f"add newer data, or state a longer retention in [{_table(version)}]",
        )


def _misused(
    version: DatasetVersion,
    terms: DataTerms,
    contract: ParsedContract,
    models: Collection[str] | None,
) -> _Found:
    allowed = {word.casefold() for word in terms.allowed}
    declared = list(contract.contract.model)
    if not allowed or (models is None and not declared):
        return
    wanted = declared if models is None else models
    outside = [name for name in wanted if not allowed & purposes_of(contract.contract, name)]
    if outside and (models is not None or len(outside) == len(declared)):
        shown = ", ".join(terms.allowed)
        yield (
            "allowed",
            f"{_label(version)} may serve {shown}; that is no purpose of {', '.join(outside)}.",
            f"use other data, or add the purpose to allowed in [{_table(version)}]",
        )


def refuse_use(
    ctx: Context,
    version: DatasetVersion,
    contract: ParsedContract,
    models: Collection[str] | None = None,
) -> None:
    """Raise what stands against a use of a version; arguments as of `use_problems`.

    Raises:
        ContractGap: with the line of the contract to fix.
    """
    with ctx.read() as tx:
        found = use_problems(tx, ctx, version, contract, models)
    refuse_first(found, contract.filename)


def refuse_training_data(
    tx: Tx,
    ctx: Context,
    training: Mapping[str, str],
    contract: ParsedContract,
    model: str,
    *,
    then: str = "",
) -> None:
    """Raise what stands against the data that a version of a model was trained on.

    Args:
        tx: a transaction.
        ctx: the project.
        training: its datasets, by name and digest.
        contract: under which the version is registered.
        model: its name.
        then: what is to be done once the line is mended, for the hint; what people say of columns
            counts at once.

    Raises:
        ContractGap: with the line of the contract to fix.
    """
    found: list[UseProblem] = []
    for name, digest in training.items():
        same = datasets.find_by_digest(tx, ctx.project_id, digest)
        version = next((each for each in same if each.dataset == name), None)
        if version is not None:
            found += use_problems(tx, ctx, version, contract, [model])
    refuse_first(found, "thrive.toml", then)


def refuse_first(found: list[UseProblem], filename: str, then: str = "") -> None:
    """Raise the first of some problems, if there is one."""
    if found:
        first, more = found[0], len(found) - 1
        words = refusal(filename, first.line, first.what, first.owner, more)
        raise ContractGap(words, first.fix if first.key == "personal" else f"{first.fix}{then}")


def present_problems(ctx: Context, contract: ParsedContract) -> list[UseProblem]:
    """Return what stands against training on the newest version of each dataset of the contract."""
    found: list[UseProblem] = []
    with ctx.read() as tx:
        for name in contract.contract.data:
            try:
                version = datasets.get_version(tx, ctx.project_id, name)
            except NotFound:
                continue
            against = held_back(version)
            if against is not None:
                found.append(_problem(version, contract, "checks", f"{against[0]}.", against[1]))
            found += use_problems(tx, ctx, version, contract)
    return found
