"""Reading sources again: by hand, or as often as the contract says."""

import msgspec

from thrive.contract.parse import load
from thrive.contract.schema import DataTerms
from thrive.data.adding import add_version, reach_of, save_source
from thrive.data.lockfile import pin
from thrive.data.reading import find_version
from thrive.data.wanted import Wanted, terms_of
from thrive.domain.actor import CONTROLLER, CURATORS
from thrive.domain.clock import machine_now, parse_duration
from thrive.domain.dataset import SourceState
from thrive.domain.errors import NotFound, Refused, ThriveError, UsageError
from thrive.domain.identifiers import new_id
from thrive.domain.project import Job, JobState
from thrive.operations import Context, Kind, operation
from thrive.store import column_labels, jobs
from thrive.store.sources import mark_of
from thrive.store.sources.bring import MEMORY

REFRESH = "data refresh"


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of reading one source again.

    Attributes:
        dataset: whose.
        version: the version that holds the content now.
        is_new: it changed.
        trainable: it may be trained on.
        what: what was found, in words.
    """

    dataset: str
    version: int
    is_new: bool
    trainable: bool
    what: str


@operation(REFRESH, role=CURATORS, kind=Kind.JOB, writes=True, next_hint="thrive data log NAME")
def refresh(ctx: Context, name: str = "") -> list[Refreshed]:
    """Read sources again: what changed becomes a new version, what did not makes none.

    A source that tells of changes without being read (etags, a Delta version, DVC's hashes) is not
    read when there are none. `thrive.lock` follows, unless the new version failed a check.

    Args:
        name: the dataset; every one of the contract if not given.

    Raises:
        NotFound: there is no such dataset, or nothing at its source.
        UsageError: it was added from memory, or cannot be read as a table.
        StoreUnavailable: a source does not answer.

    Examples:
        thrive data refresh
        thrive data refresh flights
    """
    declared = load(ctx.local_folder()).contract.data
    names = [name] if name else [each for each, terms in declared.items() if terms.source]
    if not names:
        raise NotFound("The contract names no source.", "thrive data add PATH --name NAME")
    found: list[Refreshed] = []
    for each in names:
        ctx.progress(len(found) / len(names), f"reading {each}")
        found.append(_refresh(ctx, each))
    return found


def _refresh(ctx: Context, name: str) -> Refreshed:
    terms = terms_of(ctx.local_folder(), name)
    with ctx.read() as tx:
        state = column_labels.find_source(tx, ctx.project_id, name)
    source = terms.source or (state.source if state else "")
    if not source:
        raise NotFound(f"No source of {name!r} is known.", f"thrive data add PATH --name {name}")
    if source == MEMORY:
        raise UsageError(f"{name!r} was added from memory.", "add the newer frame from Python")
    wanted = Wanted(
        name=name, source=source, asked=source, owner=terms.owner, why=terms.why, terms=terms
    )
    try:
        return _read_again(ctx, wanted, state)
    except ThriveError as error:
        with ctx.observe(f"dataset:{name}") as tx:
            save_source(tx, ctx, wanted, state.mark if state else "", error.what)
        raise


def _read_again(ctx: Context, wanted: Wanted, state: SourceState | None) -> Refreshed:
    mark = mark_of(wanted.source, reach_of(ctx))
    if mark and state is not None and (mark, wanted.source) == (state.mark, state.source):
        with ctx.observe(f"dataset:{wanted.name}") as tx:
            save_source(tx, ctx, wanted, mark)
        known = find_version(ctx, wanted.name)
        return Refreshed(
            dataset=wanted.name,
            version=known.version,
            is_new=False,
            trainable=known.trainable,
            what="the source says that nothing changed",
        )
    version, is_new, _ = add_version(ctx, wanted)
    if version.trainable:
        pin(ctx.local_folder(), ctx.home.folder, wanted.name, version.digest)
    failed = [
        f"{each['check']}: {each['found']}" for each in version.checks if each["state"] == "fail"
    ]
    return Refreshed(
        dataset=wanted.name,
        version=version.version,
        is_new=is_new,
        trainable=version.trainable,
        what="; ".join(failed) or ("" if is_new else "the content is the same"),
    )


def queue_refreshes(ctx: Context) -> list[str]:
    """Queue the reading of every source that the contract wants read by now; return the datasets.

    Nothing is due where the project's folder is not: only there are its files and its contract.
    """
    if ctx.folder is None:
        return []
    try:
        declared = load(ctx.folder).contract.data
    except (NotFound, Refused, UsageError):  # `thrive check` says what is wrong with it
        return []
    scheduled = {name: terms for name, terms in declared.items() if terms.refresh and terms.source}
    if not scheduled:
        return []
    with ctx.read() as tx:
        states = {each: column_labels.find_source(tx, ctx.project_id, each) for each in scheduled}
        waiting = {job.dedupe_key for job in jobs.find(tx, ctx.project_id, limit=200)}
    due = [
        name
        for name, terms in scheduled.items()
        if _is_due(terms, states[name], ctx.now()) and f"refresh:{name}" not in waiting
    ]
    for name in due:
        _queue(ctx, name)
    return due


def _is_due(terms: DataTerms, state: SourceState | None, now: int) -> bool:
    return state is None or now - state.read_at >= parse_duration(terms.refresh)


def _queue(ctx: Context, name: str) -> None:
    job = Job(
        job_id=new_id(),
        operation=REFRESH,
        arguments={"name": name},
        state=JobState.WAITING,
        actor=CONTROLLER.name,
        run_at=machine_now(),
        created_at=machine_now(),
        dedupe_key=f"refresh:{name}",
    )
    with ctx.observe(f"job:{job.job_id}") as tx:
        jobs.add(tx, ctx.project_id, job)
