"""Checks of the data a version learned from."""

from collections.abc import Iterator
from datetime import date

from thrive.contract.gaps import gaps_for_model
from thrive.contract.lines import path_of
from thrive.contract.purposes import purposes_of
from thrive.domain.clock import format_time
from thrive.domain.duty import SUBJECT_ACCESS, RestrictionKind
from thrive.governance.checks.building import today
from thrive.governance.checks.registry import Problem, check, unanswered
from thrive.governance.law import Duty
from thrive.governance.measures import (
    dropped_shares,
    learned_from,
    missing_shares,
    population_shares,
    sensitive_columns,
    training_digests,
)
from thrive.governance.records import NONE, Records

MUCH_DROPPED = 0.2
MUCH_MISSING = 0.2
MUCH_OFF = 0.2
LITTLE_WEIGHT = 0.001


def _answer(records: Records, name: str) -> str:
    return f'thrive duties answer {records.version.model} --field {name}="..."'


@check("data-described")
def data_described(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Each dataset has source, owner, reason, licence and basis."""
    if records.parsed is None:
        yield Problem(what=f"no contract was stored with {records.label}", fix="thrive check")
        return
    for gap in gaps_for_model(
        records.parsed, records.version.model, records.upstream, records.reachable
    ):
        if gap.keys[:1] == ("data",):
            yield Problem(what=gap.what.rstrip("."), fix=gap.fix, path=gap.keys)


@check("population-declared")
def population_declared(records: Records, _duty: Duty) -> Iterator[Problem]:
    """The population is written; what is missing or was dropped in plenty has a note."""
    fields = records.answers.fields
    if not fields.get("target_population"):
        what = f"nobody wrote whom {records.version.model} is about"
        yield Problem(what=what, fix=_answer(records, "target_population"))
    if fields.get("known_gaps"):
        return
    for name, share in dropped_shares(records).items():
        if share > MUCH_DROPPED:
            what = f"{name} has {share:.0%} fewer rows than it was made from, without a note"
            yield Problem(what=what, fix=_answer(records, "known_gaps"))
    for each in population_shares(records):
        if each.is_off(MUCH_OFF):
            what = f"{each.said()}: over {MUCH_OFF:.0%} off, without a note"
            yield Problem(what=what, fix=_answer(records, "known_gaps"))
    for name, found in records.known.items():
        much = [key for key, share in missing_shares(found).items() if share > MUCH_MISSING]
        if much:
            what = f"{', '.join(much[:5])} of {name} miss over {MUCH_MISSING:.0%}, without a note"
            yield Problem(what=what, fix=_answer(records, "known_gaps"))


@check("purpose-compatible")
def purpose_compatible(records: Records, _duty: Duty) -> Iterator[Problem]:
    """The purpose of the model is among those that each dataset, and its sources, may serve."""
    wanted = purposes_of(records.contract, records.version.model)
    sources = {each.dataset for parents in records.parents.values() for each in parents}
    for name in sorted({*records.upstream, *sources}):
        allowed = {word.casefold() for word in records.data_terms(name).allowed}
        if allowed and not allowed & wanted:
            what = f"{name} may serve {', '.join(sorted(allowed))}, not {records.version.model}"
            fix = f"use other data, or add the purpose to allowed in [{path_of('data', name)}]"
            yield Problem(what=what, fix=fix, path=("data", name, "allowed"))


@check("sensitive-limited")
def sensitive_limited(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Sensitive columns are no inputs, have a reason and a day of deletion that is not over."""
    fields, model = records.answers.fields, records.version.model
    inputs = set(records.manifest.signature.names if records.manifest else ())
    for name, columns in sensitive_columns(records).items():
        used = sorted(set(columns) & inputs)
        if used:
            what = f"{', '.join(used)} of {name} are sensitive and inputs of {records.label}"
            yield Problem(what=what, fix="train without them; the bias gate may read them")
    for field in ("sensitive_reason", "sensitive_until"):
        if not fields.get(field):
            what = f"{model} reads sensitive data, and nobody wrote `{field}`"
            yield Problem(what=what, fix=_answer(records, field))
    until = fields.get("sensitive_until", "")
    if until and date.fromisoformat(until) < today(records):
        what = f"the sensitive data of {model} was to be deleted by {until}"
        yield Problem(what=what, fix='thrive data rm NAME@VERSION --reason "..."')


@check("reads-within-purpose")
def reads_within_purpose(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Nobody read personal columns in the clear for a purpose that the dataset may not serve."""
    for read in records.reads:
        if set(read.columns) <= set(read.pseudonymised):
            continue  # without a grant: the reader was told no value and asked for no purpose
        if read.purpose == SUBJECT_ACCESS and not read.grant_id:
            continue
        allowed = {word.casefold() for word in records.data_terms(read.dataset).allowed}
        if allowed and read.purpose.casefold() not in allowed:
            yield Problem(
                what=f"{read.reader} read {read.dataset} for {read.purpose}, which is not allowed",
                fix=f"add the purpose to allowed in [{path_of('data', read.dataset)}], or stop it",
                path=("data", read.dataset, "allowed"),
            )


@check("columns-needed")
def columns_needed(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Each personal column that is an input matters to the answers."""
    for name, columns in records.personal().items():
        for column in columns:
            weight = records.version.importance.get(column)
            if weight is not None and abs(weight) < LITTLE_WEIGHT:
                what = f"{column} of {name} is personal and has next to no effect"
                yield Problem(what=what, fix="train without it", path=("data", name, "personal"))


@check("retention-kept")
def retention_kept(records: Records, _duty: Duty) -> Iterator[Problem]:
    """No dataset is kept for longer than its retention."""
    for name, found in records.known.items():
        end = records.data_terms(name).kept_until(found.created_at)
        if end is not None and end < records.now:
            yield Problem(
                what=f"{name}@{found.version} was to be kept until {format_time(end)}",
                fix="add newer data and train again; thrive data expire --yes",
                path=("data", name, "retention"),
            )


@check("basis-stated")
def basis_stated(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Personal data has a legal basis, special categories have an exception."""
    for name, columns in records.personal().items():
        if not records.data_terms(name).has_basis:
            what = f"{name} holds personal data ({', '.join(columns)}) without a legal basis"
            fix = f'write legal_basis = "..." in [{path_of("data", name)}]'
            yield Problem(what=what, fix=fix, path=("data", name, "legal_basis"))
    if sensitive_columns(records) and not records.answers.fields.get("special_exception"):
        what = f"{records.version.model} reads special categories without an exception of art. 9(2)"
        yield Problem(what=what, fix=_answer(records, "special_exception"))


@check("subject-findable")
def subject_findable(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Each dataset with personal data says which column names the person."""
    for name in records.personal():
        subject = records.data_terms(name).subject
        columns = [each.name for each in records.known[name].columns]
        if not subject or (columns and subject not in columns):
            lacking = f"it has no column {subject!r}" if subject else "no column names the person"
            what = f"nobody can be found in {name}: {lacking}"
            fix = f'write subject = "COLUMN" in [{path_of("data", name)}]'
            yield Problem(what=what, fix=fix, path=("data", name, "subject"))


@check("erased-not-served")
def erased_not_served(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Nothing the version learned from was erased since."""
    for stone in records.erased:
        yield Problem(
            what=f"{records.label} learned from rows of {stone.subject} that were erased",
            fix=f"thrive models retrain {records.version.model}",
        )


@check("restricted-left-out")
def restricted_left_out(records: Records, duty: Duty) -> Iterator[Problem]:
    """The answers are there, and it learned from nobody whose data was restricted since."""
    yield from unanswered(records, duty)
    yield from _learned_from(records, RestrictionKind.RESTRICTION)


@check("objections-respected")
def objections_respected(records: Records, duty: Duty) -> Iterator[Problem]:
    """The answers are there, and it learned from nobody who objected since."""
    yield from unanswered(records, duty)
    yield from _learned_from(records, RestrictionKind.OBJECTION)


def _learned_from(records: Records, kind: RestrictionKind) -> Iterator[Problem]:
    """Yield whom it learned from before they were left out."""
    learned = training_digests(records)
    for each in learned_from(records):
        if each.kind is kind:
            held = [
                name
                for name, digest in zip(each.held, each.digests, strict=True)
                if digest in learned
            ]
            yield Problem(
                what=f"{records.label} learned from rows of {', '.join(held)} of a person who is "
                f"left out since ({each.kind.value}: {each.reason})",
                fix=f"thrive models retrain {records.version.model}",
            )


@check("places-allowed")
def places_allowed(records: Records, duty: Duty) -> Iterator[Problem]:
    """The answers are there, and the bytes lie in a region that each dataset allows."""
    yield from unanswered(records, duty)
    for name in records.upstream if records.region is not None else ():
        allowed = records.data_terms(name).regions
        if allowed and records.region not in allowed:
            yield Problem(
                what=f"{name} may be kept in {', '.join(allowed)}, and is in "
                f"{records.region or 'a region that nobody told'}",
                fix=f"keep it elsewhere, or add the region to regions in [{path_of('data', name)}]",
                path=("data", name, "regions"),
            )


@check("columns-labelled")
def columns_labelled(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Somebody said of each column that seems personal what it holds."""
    for name, found in records.known.items():
        said = {each.name for each in records.labels.get(name, [])}
        said |= set(records.data_terms(name).personal_kinds)
        open_ = [each.name for each in found.columns if each.asked and each.name not in said]
        if open_:
            what = f"nobody has said whether {', '.join(open_)} of {name} are personal"
            fix = f'thrive data confirm {name}@{found.version} --reason "..."'
            yield Problem(what=what, fix=fix, path=("data", name, "personal"))
        confirmed = {(each.name, each.dtype) for each in records.labels.get(name, [])}
        for each in found.columns:
            none = records.data_terms(name).personal_kinds.get(each.name) == NONE
            if each.seems and none and (each.name, each.dtype) not in confirmed:
                what = f"{each.name} of {name} is said to be impersonal and seems {each.seems}"
                fix = f'thrive data confirm {name}@{found.version} {each.name}=none --reason "..."'
                yield Problem(what=what, fix=fix, path=("data", name, "personal"))
