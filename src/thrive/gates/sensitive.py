"""Group columns that no model may see: joined while a gate is run, for its bias checks alone.

The dataset must say that it may serve `bias-check`. Each join is a row of the audit chain: who,
which version, which columns, for which model. What the join gives is counted by group and let go:
neither slices nor own checks get the columns, and nothing of them but counts is kept.
"""

from typing import TYPE_CHECKING

import msgspec

from thrive.contract.schema import BiasGate
from thrive.domain.clock import parse_time
from thrive.domain.dataset import DatasetVersion
from thrive.domain.duty import DataRead
from thrive.domain.errors import NotFound, ThriveError
from thrive.domain.gate import CheckResult
from thrive.domain.identifiers import new_id
from thrive.domain.pseudonyms import is_pseudonym
from thrive.domain.reference import format_reference
from thrive.gates.case import GateCase
from thrive.gates.inputs import Inputs
from thrive.operations import Context
from thrive.store import datasets, duties, oversight
from thrive.store.pseudonym_keys import pseudonym_key
from thrive.store.pseudonyms import pseudonymised
from thrive.store.snapshots.bring import local_files
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.tables import scan_files

if TYPE_CHECKING:
    import polars as pl

PURPOSE = "bias-check"


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """The case with the group columns, or why they could not be joined; what to bind it to."""

    case: GateCase
    reason: str = ""
    source: dict[str, str] = {}


def joined(ctx: Context, inputs: Inputs, case: GateCase) -> Joined:
    """Join the contract's source of group columns to the judged rows; the case as it is without.

    Args:
        ctx: who runs the gate.
        inputs: what it judges.
        case: the rows.
    """
    terms = case.terms.gates.bias
    if terms is None or not terms.source:
        return Joined(case=case)
    key = terms.key or list(case.terms.entity)
    model = inputs.version.model
    if reason := _refused(inputs, terms, case, key) or _expired(ctx, model):
        return Joined(case=case, reason=reason)
    wanted = [name for name in terms.groups if name not in case.frame.columns]
    if not wanted:
        return Joined(case=case)
    try:
        version = _version(ctx, terms.source)
        with ctx.write(
            f"dataset:{version.dataset}",
            purpose=PURPOSE,
            version=version.version,
            columns=wanted,
            model=format_reference(model, inputs.version.version),
        ) as tx:  # the access is logged before anything is read
            oversight.add_read(tx, ctx.project_id, _read(ctx, version, wanted))
        rows = _rows(ctx, version, [*key, *wanted])
        return _with_groups(ctx, case, version, rows, key)
    except ThriveError as error:
        return Joined(case=case, reason=error.what)


def _refused(inputs: Inputs, terms: BiasGate, case: GateCase, key: list[str]) -> str:
    name = terms.source.partition("@")[0]
    declared = inputs.parsed.contract.data.get(name) if inputs.parsed else None
    allowed = {word.casefold() for word in declared.allowed} if declared else set[str]()
    if PURPOSE not in allowed:
        return f"The dataset {name} may not serve {PURPOSE!r}: add it to [data.{name}] allowed."
    if not key:
        return "The contract names no key to join the groups by: write key = [...] under bias."
    absent = [each for each in key if each not in case.frame.columns]
    return f"The evaluation table has no column {', '.join(absent)} to join by." if absent else ""


def _read(ctx: Context, version: DatasetVersion, columns: list[str]) -> DataRead:
    return DataRead(
        read_id=new_id(),
        dataset=version.dataset,
        version=version.version,
        columns=columns,
        pseudonymised=[],
        reader=ctx.actor.name,
        purpose=PURPOSE,
        rows=version.rows,
        at=ctx.now(),
    )


def _expired(ctx: Context, model: str) -> str:
    """Return why columns of special categories may not be read any more, "" while they may.

    Until when they are kept for bias checks is an answer (AI Act art. 10(5)).
    """
    with ctx.read() as tx:
        said = duties.find_answers(tx, ctx.project_id, model).fields.get("sensitive_until", "")
    if said and parse_time(said) < ctx.now():
        return f"Sensitive columns of {model} were to be kept for bias checks until {said}."
    return ""


def _version(ctx: Context, source: str) -> DatasetVersion:
    name, _, number = source.partition("@")
    if number and not number.isdecimal():
        raise NotFound(f"{source!r} names no version.", f"write {name}@1")
    with ctx.read() as tx:
        return datasets.get_version(tx, ctx.project_id, name, int(number) if number else None)


def _rows(ctx: Context, version: DatasetVersion, names: list[str]) -> "pl.DataFrame":
    known = {column.name for column in version.columns}
    absent = [name for name in names if name not in known]
    if absent:
        label = format_reference(version.dataset, version.version)
        raise NotFound(f"{label} has no column {', '.join(absent)}.", "thrive data show")
    blobs = ctx.home.blobs
    snapshot = read_snapshot(blobs, version.listed_in)
    paths = local_files(blobs, snapshot)
    return scan_files(list(snapshot.entries()), paths, version.columns).select(names).collect()


def _with_groups(
    ctx: Context, case: GateCase, version: DatasetVersion, rows: "pl.DataFrame", key: list[str]
) -> Joined:
    import polars as pl

    label, named = format_reference(version.dataset, version.version), ", ".join(key)
    spelled = [pl.col(name).cast(pl.String) for name in key]
    frame = case.frame.with_columns(_place=pl.int_range(pl.len()))
    left, known = _in_one_spelling(
        ctx, frame.with_columns(spelled), rows.drop_nulls(key).unique().with_columns(spelled), key
    )
    if known.select(key).n_unique() < known.height:
        words = f"{label} has several groups for one {named}: nobody can be in two."
        return Joined(case=case, reason=words)
    found = left.join(known, on=key, how="left").sort("_place")
    groups = [name for name in rows.columns if name not in key]
    whole = case.frame.with_columns(found[name] for name in groups)
    matched = int(found.select(pl.any_horizontal(pl.col(groups).is_not_null()).sum()).item())
    if not matched:
        words = f"No judged row has a group: {label} knows none of them by {named}."
        return Joined(case=case, reason=words)
    source = {"source": label, "digest": version.digest, "rows_matched": str(matched)}
    return Joined(case=msgspec.structs.replace(case, frame=whole), source=source)


def _in_one_spelling(
    ctx: Context, left: "pl.DataFrame", right: "pl.DataFrame", key: list[str]
) -> tuple["pl.DataFrame", "pl.DataFrame"]:
    """Return both sides with pseudonyms in those columns of the key where the left has any.

    Rows that a model is judged on hold pseudonyms where its author had no grant for the values.
    """
    hidden = [
        name for name in key if any(is_pseudonym(each) for each in left[name].drop_nulls().unique())
    ]
    if not hidden:
        return left, right
    secret = pseudonym_key(ctx.home, ctx.actor.name)
    one, other = (pseudonymised(side.lazy(), hidden, secret).collect() for side in (left, right))
    return one, other


def bound(found: list[CheckResult], join: Joined) -> list[CheckResult]:
    """Return bias results whose evidence names the version that the groups came from."""
    if not join.source:
        return found
    return [
        msgspec.structs.replace(one, evidence={**one.evidence, "joined": join.source})
        for one in found
    ]
