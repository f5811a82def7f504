"""Evidence of the data: where it came from, what it holds, of whom, on which basis, until when."""

from collections.abc import Iterator
from typing import Any

from thrive.contract.purposes import purposes_of
from thrive.domain.clock import format_time
from thrive.domain.dataset import DatasetVersion
from thrive.domain.duty import RestrictionKind
from thrive.domain.reference import format_reference
from thrive.governance.evidence.building import answers_source, results, verdict_source
from thrive.governance.evidence.registry import query
from thrive.governance.facts import Fact, in_contract, in_registry, stated
from thrive.governance.measures import (
    dropped_shares,
    learned_from,
    missing_shares,
    persons,
    population_shares,
    profiled_columns,
    sensitive_columns,
)
from thrive.governance.records import Records

MUCH_MISSING = 0.2
"""A share of missing values from which on a column is named."""


def _version(version: DatasetVersion) -> str:
    return f"dataset_version:{format_reference(version.dataset, version.version)}"


def _no_data(records: Records, what: str) -> Iterator[Fact]:
    """Yield that something is missing when the version names no data whose content is known."""
    if not records.known:
        yield stated(what, None, in_registry(records))


def _said(records: Records, what: str, key: str) -> Iterator[Fact]:
    """Yield what the contract says of each dataset under one key."""
    yield from _no_data(records, what)
    for name in records.upstream:
        value = getattr(records.data_terms(name), key)
        yield stated(f"{name}: {what}", value, in_contract(records, f"data.{name}.{key}"))


@query("data-sheets")
def data_sheets(records: Records) -> Iterator[Fact]:
    """Yield of each dataset its content, source, licence, owner, span and columns."""
    yield from _no_data(records, "Training data")
    for name, found in records.upstream.items():
        if found is None:
            digest = records.version.training[name]
            yield stated(f"{name}: content", None, f"dataset_digest:{digest}")
            continue
        words = f"version {found.version}, {found.rows:,} rows from {found.source}"
        yield stated(f"{name}: content", f"{words}, digest {found.digest}", _version(found))
        columns = [f"{each.name} ({each.dtype})" for each in found.columns]
        yield stated(f"{name}: columns", columns, _version(found))
        for column, (low, high) in _spans(found).items():
            yield stated(f"{name}: {column}", f"from {low} to {high}", _version(found))
        added = f"{format_time(found.created_at)} by {found.actor}"
        yield stated(f"{name}: recorded", added, _version(found))
    for what, key in (("why it is kept", "why"), ("owner", "owner"), ("licence", "licence")):
        for name in records.upstream:
            value = getattr(records.data_terms(name), key)
            yield stated(f"{name}: {what}", value, in_contract(records, f"data.{name}.{key}"))


def _spans(version: DatasetVersion) -> dict[str, tuple[str, str]]:
    """Return the first and the last of each column of times, as the profile has them."""
    times = {each.name for each in version.columns if each.dtype.startswith(("Date", "Time"))}
    return {
        name: (str(found["min"]), str(found["max"]))
        for name, found in profiled_columns(version).items()
        if name in times and found.get("min") is not None
    }


@query("cleaning")
def cleaning(records: Records) -> Iterator[Fact]:
    """Yield what each dataset was made from, and how many rows were dropped on the way."""
    yield from _no_data(records, "Cleaning")
    shares = dropped_shares(records)
    for name, found in records.known.items():
        sources = [
            format_reference(each.dataset, each.version) for each in records.parents.get(name, [])
        ]
        made = f"made by run {found.made_by} from {', '.join(sources)}" if sources else "as it came"
        dropped = f", {shares[name]:.1%} fewer rows" if name in shares else ""
        yield stated(f"{name}: preparation", made + dropped, _version(found))


@query("preparation")
def preparation(records: Records) -> Iterator[Fact]:
    """Yield the checks that the data had to pass before training, and what each found."""
    yield from _no_data(records, "Checks of the data")
    for name, found in records.known.items():
        checks = [_checked(each) for each in found.checks]
        declared = records.data_terms(name).checks or ["none is declared"]
        yield stated(f"{name}: checks", checks or declared, _version(found))


def _checked(check: dict[str, Any]) -> str:
    """Return a check of a version with what it found."""
    state, found = str(check.get("state", "")), str(check.get("found", ""))
    said = {"pass": "passed", "fail": "failed"}.get(state, state or "not judged")
    return f"{check.get('check', check)}: {said}" + (f" ({found})" if found else "")


@query("repeated-rows")
def repeated_rows(records: Records) -> Iterator[Fact]:
    """Yield whether rows repeat others, as far as a check looked, and what is known of the label.

    A row that repeats another counts twice in training, and in both halves it flatters a test.
    """
    yield from _no_data(records, "Repeated rows")
    for name, found in records.known.items():
        looked = [each for each in found.checks if str(each.get("check", "")).startswith("unique(")]
        none = f"not measured: no check unique(COLUMN) is declared for {name}"
        told = [_checked(each) for each in looked] or none
        yield stated(f"{name}: repeated rows", told, _version(found))
    told = [one.summary for one in results(records, "quality") if one.check == "labels"]
    words = told[0] if told else "not measured: no gate compared the labels of rows that look alike"
    yield stated("Noise of the label", words, verdict_source(records))


@query("allowed-purposes")
def allowed_purposes(records: Records) -> Iterator[Fact]:
    """Yield what each dataset may serve, and the purposes of the model."""
    words = sorted(purposes_of(records.contract, records.version.model))
    source = in_contract(records, f"model.{records.version.model}.purpose")
    yield stated("Purposes of the model", words if records.terms else None, source)
    yield from _said(records, "may serve", "allowed")


@query("missing-values")
def missing_values(records: Records) -> Iterator[Fact]:
    """Yield the columns with many missing values."""
    yield from _no_data(records, "Missing values")
    for name, found in records.known.items():
        shares = missing_shares(found)
        much = [f"{key} {share:.0%}" for key, share in shares.items() if share > MUCH_MISSING]
        words = much or (
            f"none of {len(shares)} columns misses over {MUCH_MISSING:.0%}" if shares else None
        )
        yield stated(f"{name}: missing values", words, _version(found))


@query("balance")
def balance(records: Records) -> Iterator[Fact]:
    """Yield the shares of the label and of the declared groups in the training data."""
    terms = records.terms
    wanted = [terms.target.column, *terms.segments] if terms else []
    for name, found in records.known.items():
        for column in filter(None, wanted):
            top = profiled_columns(found).get(column, {}).get("top")
            if top:
                rows = max(found.rows, 1)
                shown = [f"{value} {count / rows:.1%}" for value, count in top[:6]]
                yield stated(f"{name}: shares of {column}", shown, _version(found))
    yield from _no_data(records, "Shares of label and groups")


@query("population")
def population(records: Records) -> Iterator[Fact]:
    """Yield the shares of groups beside those of the population that people stated."""
    source = answers_source(records)
    shares = population_shares(records)
    for each in shares:
        at = f"{source}.population.{each.column}"
        yield stated(f"{each.dataset}: {each.column} {each.group}", each.said(), at)
    if not shares:
        at = f"{source}.population"
        yield stated("Shares of the population", "nobody stated any", at)


@query("restrictions")
def restrictions(records: Records) -> Iterator[Fact]:
    """Yield how many people are left out of what is used, and whom the version learned from."""
    yield from _left_out(records, RestrictionKind.RESTRICTION, "Restricted (art. 18)")


@query("objections")
def objections(records: Records) -> Iterator[Fact]:
    """Yield how many people objected, and from whom of them the version learned."""
    yield from _left_out(records, RestrictionKind.OBJECTION, "Objections (art. 7(3), 21)")


def _left_out(records: Records, kind: RestrictionKind, title: str) -> Iterator[Fact]:
    found = [each for each in records.restrictions if each.kind is kind]
    people = len({each.person for each in found})
    whose = "one person is" if people == 1 else f"{people:,} people are"
    words = f"{whose} left out of what is read" if people else "nobody is left out"
    yield stated(title, words, "restrictions:project")
    learned = {each.restriction_id for each in learned_from(records)}
    for each in found:
        since = format_time(each.placed_at)
        mine = each.restriction_id in learned
        told = "this version learned from it before" if mine else "none is training data of this"
        words = f"{each.rows:,} rows of {', '.join(each.held) or 'no version'}; {told}"
        yield stated(f"{title} {since}", words, f"restriction:{each.restriction_id}")


@query("sensitive")
def sensitive(records: Records) -> Iterator[Fact]:
    """Yield the columns of special categories."""
    found = sensitive_columns(records)
    for name, columns in found.items():
        yield stated(f"{name}: special categories", columns, _labels(records, name))
    if not found:
        yield stated("Special categories", "none is labelled", in_registry(records))


def _labels(records: Records, dataset: str) -> str:
    return in_contract(records, f"data.{dataset}.personal")


@query("personal-columns")
def personal_columns(records: Records) -> Iterator[Fact]:
    """Yield the columns that hold personal data, with how much each matters to the model."""
    for name, columns in records.personal().items():
        for column, kind in columns.items():
            weight = records.version.importance.get(column)
            said = "not an input" if weight is None else f"importance {weight:.3g}"
            yield stated(f"{name}: {column}", f"{kind}, {said}", _labels(records, name))
    if not records.personal():
        yield stated("Personal data", "no column is labelled so", in_registry(records))


@query("retention")
def retention(records: Records) -> Iterator[Fact]:
    """Yield until when each dataset may be kept."""
    yield from _no_data(records, "Retention")
    for name, found in records.known.items():
        terms = records.data_terms(name)
        end = terms.kept_until(found.created_at)
        said = None if end is None else f"{terms.retention}, until {format_time(end)}"
        yield stated(f"{name}: kept for", said, in_contract(records, f"data.{name}.retention"))


@query("basis")
def basis(records: Records) -> Iterator[Fact]:
    """Yield on which basis each dataset is processed."""
    yield from _said(records, "legal basis", "legal_basis")


@query("erasures")
def erasures(records: Records) -> Iterator[Fact]:
    """Yield what was erased since the version learned from it."""
    yield stated("Erasures in the project", str(records.erasures), "erasures:project")
    for stone in records.erased:
        words = f"{stone.subject}, on {format_time(stone.erased_at)}: {stone.reason}"
        yield stated("Erased since training", words, f"erasure:{stone.erasure_id}")


@query("subject-columns")
def subject_columns(records: Records) -> Iterator[Fact]:
    """Yield by which column a person is found in each dataset."""
    yield from _no_data(records, "A person is named by")
    for name in records.upstream:
        nobody = None if name in records.personal() else "nobody is named: no personal data"
        subject = records.data_terms(name).subject or nobody
        place = in_contract(records, f"data.{name}.subject")
        yield stated(f"{name}: names a person by", subject, place)


@query("corrected-data")
def corrected_data(records: Records) -> Iterator[Fact]:
    """Yield windows that were corrected by late data."""
    corrected = [one for one in records.windows if one.revision > 0]
    words = f"{len(corrected)} of {len(records.windows)}, by late rows or outcomes"
    yield stated("Windows of monitoring that were corrected", words, in_registry(records))


@query("reads")
def reads(records: Records) -> Iterator[Fact]:
    """Yield who read personal columns in the clear, for what, under which grant."""
    clear = [one for one in records.reads if set(one.columns) - set(one.pseudonymised)]
    for one in clear:
        columns = ", ".join(each for each in one.columns if each not in one.pseudonymised)
        words = f"{columns} of {one.dataset}@{one.version} for {one.purpose}, {one.rows:,} rows"
        yield stated(
            f"Read by {one.reader} {format_time(one.at)}", words, f"data_read:{one.read_id}"
        )
    if not clear:
        yield stated("Reads in the clear", "none is logged", "data_reads:project")


@query("labels")
def labels(records: Records) -> Iterator[Fact]:
    """Yield who said what the columns hold."""
    yield from _said(records, "personal data", "personal")
    for name, said in records.labels.items():
        for each in said:
            words = f"{each.kind}, by {each.actor}: {each.reason}"
            yield stated(f"{name}: {each.name}", words, f"column_label:{name}/{each.name}")


@query("access")
def access(records: Records) -> Iterator[Fact]:
    """Yield how often labelled columns were read, as far as reads are logged."""
    words = f"{len(records.reads):,}" if records.reads else "none is logged"
    yield stated("Logged reads of labelled columns", words, "data_reads:project")


@query("places")
def places(records: Records) -> Iterator[Fact]:
    """Yield where rows and bytes are kept, and where sources are."""
    yield stated("Kept in", records.place, "home:store")
    if any(records.data_terms(name).regions for name in records.upstream):
        yield from _said(records, "may be kept in the regions", "regions")
    yield from _said(records, "source", "source")


@query("processing")
def processing(records: Records) -> Iterator[Fact]:
    """Yield the line of the record of processing: data, columns, purpose, basis, recipients."""
    terms = records.terms
    source = in_contract(records, f"model.{records.version.model}")
    yield stated("Purpose", terms.purpose if terms else None, f"{source}.purpose")
    yield stated("Recipients", terms.users if terms else None, f"{source}.users")
    for use in records.uses:
        if use.kind == "dataset" and use.direction == "in":
            named = ", ".join(use.columns) if use.columns is not None else ""
            words = f"columns read: {named or 'all: its code took the whole table'}"
            yield stated(f"{use.name}: processed", words, f"run:{records.version.run_id}#uses")
    yield from data_sheets(records)
    yield stated("Serves", "yes" if records.is_live else "not at present", in_registry(records))


@query("persons-affected")
def persons_affected(records: Records) -> Iterator[Fact]:
    """Yield how many persons the data names and how many answers are given."""
    counted = persons(records)
    nobody = None if records.personal() else "no column is labelled as personal data"
    known = f"{counted:,}" if counted else nobody
    yield stated("Persons in the training data", known, in_registry(records))
    rows = sum(one.rows for one in records.windows)
    yield stated("Answers in closed windows", f"{rows:,}", in_registry(records))
