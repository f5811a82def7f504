"""What is known of one person: rows, the runs and models trained on them, answers about them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from thrive.data.lineage import learned_from_each, uses_of_each
from thrive.data.subjects import (
    PREFIXES,
    Searched,
    declared_columns,
    is_nested,
    rows_in_files,
    searched_versions,
)
from thrive.domain.errors import UsageError
from thrive.flows.erasure.ahead import Ahead
from thrive.flows.erasure.finding import (
    SubjectAnswers,
    SubjectFound,
    SubjectModel,
    SubjectRows,
    SubjectRun,
    Unsearched,
)
from thrive.flows.erasure.looked import looked_in
from thrive.operations import Context
from thrive.store import predictions, releases, runs
from thrive.store.database import Tx
from thrive.store.eventlog import segments
from thrive.store.snapshots.matching import Person, names_person
from thrive.store.snapshots.people import PeopleIndex

if TYPE_CHECKING:
    import polars as pl

NO_COLUMN = "no subject column is declared, and none that other datasets declare is in it"


def search(
    ctx: Context, person: Person, dataset: str, column: str, ahead: Ahead | None
) -> SubjectFound:
    """Find a person everywhere; raises as `subject_columns`, and NotFound for a missing dataset.

    Args:
        ctx: the project.
        person: as tables may spell them.
        dataset: only in this dataset; "" for all, and answers too.
        column: the column that names a person, instead of those of the contract.
        ahead: a process that counts rows already.
    """
    declared = subject_columns(ctx, dataset, column)
    searched = searched_versions(ctx, declared, dataset)
    known = ahead.counts() if ahead is not None else None
    index = PeopleIndex(ctx.home.folder)
    counts = rows_in_files(ctx.home, searched, person, known, index)
    hit = [each for each in searched if _rows(each, counts).rows]
    answers = [] if dataset else answers_about(ctx, set(declared.values()), person)
    with ctx.read() as tx:
        found_runs = _runs(tx, ctx, hit)
        models = _models(tx, ctx, hit)
    rows = [_rows(each, counts) for each in hit]
    total = sum(each.rows for each in rows)
    answered = sum(each.predictions for each in answers)
    return SubjectFound(
        rows=total,
        predictions=answered,
        versions=rows,
        runs=found_runs,
        models=models,
        answers=answers,
        unsearched=unsearched(searched, declared),
        looked=looked_in(ctx, searched),
        next_hint='thrive data erase --reason "..."' if total or answered else "",
    )


def subject_columns(ctx: Context, dataset: str, column: str) -> dict[str, str]:
    """Return the subject column of each dataset; `column` for all of them if it is given.

    Raises:
        UsageError: nothing says which column names a person.
    """
    if column:
        return {dataset: column}
    declared = declared_columns(ctx.folder)
    if not declared:
        raise UsageError(
            "No dataset says which column names a person.",
            'write subject = "COLUMN" into [data.NAME] of thrive.toml, or give --column',
        )
    return declared


def unsearched(searched: Sequence[Searched], declared: Mapping[str, str]) -> list[Unsearched]:
    """Return the datasets of which no version has a column that names people."""
    able = {each.version.dataset for each in searched if each.columns}
    others = {each.version.dataset: each for each in searched if each.version.dataset not in able}
    return [
        Unsearched(dataset=name, why=_why(each, declared)) for name, each in sorted(others.items())
    ]


def _why(searched: Searched, declared: Mapping[str, str]) -> str:
    named = (each for each in searched.version.columns if each.name in declared.values())
    nested = next((each.name for each in named if is_nested(each)), "")
    return f"its column {nested} holds lists or structures" if nested else NO_COLUMN


def _rows(searched: Searched, counts: Mapping[str, int]) -> SubjectRows:
    names = (digest.hex() for digest in searched.snapshot.digests)
    holding = [counts[name] for name in names if name in counts]
    return SubjectRows(
        dataset=searched.version.dataset,
        version=searched.version.version,
        column=", ".join(searched.columns),
        rows=sum(holding),
        files=len(holding),
    )


def _runs(tx: Tx, ctx: Context, hit: Sequence[Searched]) -> list[SubjectRun]:
    every = uses_of_each(tx, ctx, [each.version for each in hit])
    known = runs.get_some(tx, ctx.project_id, {run_id for uses in every for run_id, _ in uses})
    return [
        SubjectRun(
            run_id=run_id,
            pipeline=known[run_id].pipeline,
            state=known[run_id].state.value,
            direction=use.direction,
            dataset=each.version.dataset,
            version=each.version.version,
            started_at=known[run_id].started_at,
        )
        for each, uses in zip(hit, every, strict=True)
        for run_id, use in uses
        if run_id in known
    ]


def _models(tx: Tx, ctx: Context, hit: Sequence[Searched]) -> list[SubjectModel]:
    found: list[SubjectModel] = []
    every = learned_from_each(tx, ctx, [each.version for each in hit])
    for each, several in zip(hit, every, strict=True):
        for model, _, through in several:
            table = releases.current_routing(tx, ctx.project_id, model.model)
            variants = table.variants if table else []
            live = (one.share for one in variants if one.version == model.version)
            found.append(
                SubjectModel(
                    model=model.model,
                    version=model.version,
                    trained_on=f"{each.version.dataset}@{each.version.version}",
                    live_share=sum(live),
                    through=", ".join(through),
                )
            )
    return found


def answers_about(ctx: Context, columns: set[str], person: Person) -> list[SubjectAnswers]:
    """Return the predictions whose inputs or keys name the person, and their outcomes.

    What this host has not sealed yet is sealed first.
    """
    ids = prediction_ids(ctx, columns, person)
    if ids is None:
        return []
    grouped = ids.partition_by("model", "version", as_dict=True)
    found: list[SubjectAnswers] = []
    with ctx.read() as tx:
        for (model, version), frame in sorted(grouped.items(), key=str):
            known = predictions.count_outcomes_of(
                tx, ctx.project_id, frame["prediction_id"].to_list()
            )
            found.append(
                SubjectAnswers(
                    model=str(model),
                    version=int(str(version or 0)),
                    predictions=frame.height,
                    outcomes=known,
                )
            )
    return found


def prediction_ids(ctx: Context, columns: set[str], person: Person) -> "pl.DataFrame | None":
    """Return `prediction_id`, `model`, `version` and `digest` (of the sealed file) of each answer.

    None where there are none.
    """
    if segments(ctx.home.log_folder):
        from thrive.serving.sealing import seal_logs  # where nobody answers, nobody pays for it

        seal_logs(ctx.home, force=True)
    with ctx.read() as tx:
        sealed = predictions.find_sealed(tx, ctx.project_id)
    if not sealed:
        return None
    import polars as pl

    from thrive.store.prediction_frames import scan_sealed

    wanted = [prefix + column for prefix in PREFIXES for column in sorted(columns)]
    scans: list[pl.LazyFrame] = []
    for digest in dict.fromkeys(each.digest for each in sealed if each.digest):
        scan = scan_sealed(ctx.home, digest)
        matches = names_person(scan.collect_schema(), wanted, person)
        if matches is not None:
            scans.append(
                scan.filter(matches).select(
                    "prediction_id", "model", "version", pl.lit(digest).alias("digest")
                )
            )
    found = [frame for frame in pl.collect_all(scans) if frame.height]
    return pl.concat(found) if found else None
