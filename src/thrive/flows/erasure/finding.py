"""What is known of one person: rows, the runs and models trained on them, answers about them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thrive.data.lineage import trained_on, uses_of
from thrive.data.subjects import (
    PREFIXES,
    Searched,
    declared_columns,
    names_person,
    rows_in_files,
    searched_versions,
)
from thrive.domain.actor import PEOPLE
from thrive.domain.errors import NotFound, UsageError
from thrive.operations import Context, Kind, PrivateText, operation
from thrive.serving.sealing import seal_logs
from thrive.store import predictions, releases, runs
from thrive.store.database import Tx
from thrive.store.eventlog import segments
from thrive.store.prediction_frames import scan_sealed

if TYPE_CHECKING:
    import polars as pl

NO_COLUMN = "no subject column is declared, and none that other datasets declare is in it"


class SubjectRows(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset version that holds rows of the person: how many, in how many of its files."""

    dataset: str
    version: int
    column: str
    rows: int
    files: int


class SubjectRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that read or made one of these versions."""

    run_id: str
    pipeline: str
    state: str
    direction: str
    dataset: str
    version: int
    started_at: int


class SubjectModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model version that was trained on one of these; `live_share` is its share of traffic."""

    model: str
    version: int
    trained_on: str
    live_share: float


class SubjectAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions about the person in the sealed log, and the outcomes that answer them."""

    model: str
    version: int
    predictions: int
    outcomes: int


class Unsearched(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that could not be searched, and why."""

    dataset: str
    why: str


class SubjectFound(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that names the person; `rows` counts each version's rows.

    Attributes:
        rows: rows of the person, over all versions.
        predictions: answers about the person.
        versions: where the rows are.
        runs: which runs read or made them.
        models: which model versions learned from them.
        answers: predictions and outcomes about them, by model version.
        unsearched: datasets in which nobody can be found.
    """

    rows: int
    predictions: int
    versions: list[SubjectRows]
    runs: list[SubjectRun]
    models: list[SubjectModel]
    answers: list[SubjectAnswers]
    unsearched: list[Unsearched]
    next_hint: str = ""


@operation("data find-subject", kind=Kind.CLIENT, role=PEOPLE)
def find_subject(
    ctx: Context,
    value: PrivateText = "",
    *,
    dataset: str = "",
    column: str = "",
    from_file: Path | None = None,
) -> SubjectFound:
    """Find a person in every version of every dataset, in runs, models, predictions and outcomes.

    A person is a value of the column that `subject` in [data.NAME] names. Without VALUE you are
    asked for it, so that it does not stay in the shell's history; `-` reads it from standard
    input. It enters no log and no audit row.

    Args:
        value: the person, as the subject column has it.
        dataset: only in this dataset.
        column: the column that names a person, instead of those of the contract.
        from_file: a file whose first line is the value.

    Raises:
        NotFound: there is no such dataset.
        UsageError: no value is given, or no dataset has a subject column.

    Examples:
        thrive data find-subject
        thrive data find-subject --from-file /run/user/1000/person --dataset deliveries --json
    """
    person = given_person(ctx, value, from_file)
    declared = subject_columns(ctx, dataset, column)
    searched = searched_versions(ctx, declared, dataset)
    counts = rows_in_files(ctx.home, searched, person)
    hit = [each for each in searched if _rows(each, counts).rows]
    answers = [] if dataset else answers_about(ctx, set(declared.values()), person)
    with ctx.read() as tx:
        found_runs = [run for each in hit for run in _runs(tx, ctx, each)]
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
        unsearched=unsearched(searched),
        next_hint='thrive data erase --reason "..."' if total or answered else "",
    )


def given_person(ctx: Context, value: str, from_file: Path | None) -> str:
    """Return the value that names the person: as given, or the first line of a file.

    Raises:
        UsageError: there is none.
        NotFound: the file is not there.
    """
    text = value
    if from_file is not None:
        try:
            content = (ctx.local_folder() / from_file).read_text(encoding="utf-8")
        except OSError:
            raise NotFound(f"The file {from_file} cannot be read.", "check the path") from None
        text = content.split("\n", 1)[0].rstrip("\r")
    if not text:
        raise UsageError("Who? No value is given.", f"thrive {ctx.operation} --from-file FILE")
    return text


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


def unsearched(searched: Sequence[Searched]) -> list[Unsearched]:
    """Return the datasets of which no version has a column that names people."""
    able = {each.version.dataset for each in searched if each.columns}
    names = sorted({each.version.dataset for each in searched} - able)
    return [Unsearched(dataset=name, why=NO_COLUMN) for name in names]


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


def _runs(tx: Tx, ctx: Context, searched: Searched) -> list[SubjectRun]:
    version = searched.version
    found: list[SubjectRun] = []
    for run_id, use in uses_of(tx, ctx, version):
        run = runs.get(tx, ctx.project_id, run_id)
        found.append(
            SubjectRun(
                run_id=run_id,
                pipeline=run.pipeline,
                state=run.state.value,
                direction=use.direction,
                dataset=version.dataset,
                version=version.version,
                started_at=run.started_at,
            )
        )
    return found


def _models(tx: Tx, ctx: Context, hit: Sequence[Searched]) -> list[SubjectModel]:
    found: list[SubjectModel] = []
    for each in hit:
        for model in trained_on(tx, ctx, each.version):
            history = releases.routing_history(tx, ctx.project_id, model.model)
            variants = history[0].variants if history else []
            live = (one.share for one in variants if one.version == model.version)
            found.append(
                SubjectModel(
                    model=model.model,
                    version=model.version,
                    trained_on=f"{each.version.dataset}@{each.version.version}",
                    live_share=sum(live),
                )
            )
    return found


def answers_about(ctx: Context, columns: set[str], person: str) -> list[SubjectAnswers]:
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


def prediction_ids(ctx: Context, columns: set[str], person: str) -> "pl.DataFrame | None":
    """Return `prediction_id`, `model`, `version` and `digest` (of the sealed file) of each answer.

    None where there are none.
    """
    import polars as pl

    if segments(ctx.home.log_folder):
        seal_logs(ctx.home, force=True)
    with ctx.read() as tx:
        sealed = predictions.find_sealed(tx, ctx.project_id)
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
