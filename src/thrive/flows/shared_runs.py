"""Runs between homes: pushed to a folder or a bucket, so that any clone can do them again.

A pushed run is its record with everything that doing it again needs: code, data, results and
packages, by content. What is there already is not sent twice.
"""

from pathlib import Path
from typing import Any

import msgspec

from thrive.data.lockfile import keep_remote
from thrive.data.moving import copy_blobs, record_of, take_in
from thrive.domain.actor import BUILDERS
from thrive.domain.errors import Conflict, Damaged, NotFound, Refused, SchemaTooNew, UsageError
from thrive.domain.identifiers import is_id
from thrive.domain.run import Artifact, Run, RunState, StepCode, StepRecord, Use
from thrive.flows.results import reference_of
from thrive.flows.tracked import OUTPUTS
from thrive.operations import Context, Kind, operation
from thrive.packaging.manifest import read_manifest
from thrive.store import datasets, experiments, references, runs
from thrive.store.database import Tx
from thrive.store.pins import LOCK_FILE, read_remote
from thrive.store.place import FOLDER
from thrive.store.shelf import Record, Shelf

FORMAT = 1


class SharedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a shelf has it.

    Attributes:
        format: the number of this format.
        run: the run.
        steps: its steps.
        codes: what the code digests of the steps stand for.
        uses: what it read and wrote.
        artifacts: its artifacts.
        data: the versions that it read.
        blobs: every blob it needs but for those of the data.
    """

    format: int
    run: Run
    steps: list[StepRecord]
    codes: list[StepCode]
    uses: list[Use]
    artifacts: list[Artifact]
    data: list[Record]
    blobs: list[str]


class PushedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was pushed: stored files copied, and their bytes."""

    run_id: str
    place: str
    copied: int
    size: int


@operation(
    "runs push",
    kind=Kind.CLIENT,
    role=BUILDERS,
    writes=True,
    next_hint="thrive runs reproduce {run_id}, in any clone",
)
def push(ctx: Context, run: str, to: str = "") -> PushedRun:
    """Copy a run to where any clone can do it again: its code, data, results and packages.

    `thrive.lock` then says where; `thrive runs reproduce RUN` finds it there.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.
        to: a folder or s3://bucket/prefix; where data were pushed last if not given.

    Raises:
        Refused: the run did not come to its end, or kept no copy of its code.
        NotFound: something that it used is gone.
        UsageError: nothing says where to, or it is the home of a project.
        StoreUnavailable: the other side does not answer.

    Examples:
        thrive runs push 01928374 s3://team/data
    """
    folder = ctx.local_folder()
    place = _place(folder, to)
    shared = _shared(ctx, run)
    needed = [*shared.blobs, *(digest for each in shared.data for digest in each.blobs)]
    digests = list(dict.fromkeys(needed))
    with _shelf(ctx, place) as shelf:
        copied, size = copy_blobs(ctx.home.blobs, shelf.blobs, digests, ctx.progress)
        for each in shared.data:
            shelf.write(each)
        shelf.blobs.write_record(_name(shared.run.run_id), msgspec.json.encode(shared))
    with ctx.write(f"run:{shared.run.run_id}", pushed_to=place):
        pass  # what left the house is in the books
    keep_remote(folder, ctx.home.folder, to or place)
    return PushedRun(run_id=shared.run.run_id, place=place, copied=copied, size=size)


def find_run(ctx: Context, run: str) -> Run:
    """Return a run of this home; one that is not here is brought from where it was pushed to.

    Args:
        ctx: the context of the call.
        run: its id, whole where it is to be brought; the beginning of it is enough here.

    Raises:
        NotFound: it is neither here nor there.
    """
    try:
        with ctx.read() as tx:
            return runs.get(tx, ctx.project_id, run)
    except NotFound as missing:
        folder = ctx.local_folder()
        place = read_remote(folder)
        if not place:
            raise
        if not is_id(run):
            raise NotFound(missing.what, f"give the whole id: {place} may have the run") from None
        return _pull(ctx, run, _absolute(folder, place))


def _pull(ctx: Context, run_id: str, place: str) -> Run:
    with _shelf(ctx, place) as shelf:
        shared = _read(shelf, run_id, place)
        needed = [*shared.blobs, *(digest for each in shared.data for digest in each.blobs)]
        copy_blobs(shelf.blobs, ctx.home.blobs, list(dict.fromkeys(needed)), ctx.progress)
    numbers = {
        (each.dataset.name, each.version.version): take_in(ctx, each).version
        for each in shared.data
    }
    with ctx.write(f"run:{run_id}", taken_in=True, source=place) as tx:
        experiments.ensure(tx, ctx.project_id, shared.run.experiment, shared.run.started_at)
        _insert(tx, ctx.project_id, shared, numbers)
    return shared.run


def _insert(
    tx: Tx, project_id: str, shared: SharedRun, numbers: dict[tuple[str, int], int]
) -> None:
    """Write a run that came from elsewhere; versions that have other numbers here are renamed."""
    run = shared.run
    runs.save(tx, project_id, run)
    runs.save_step(tx, project_id, *shared.steps)
    for code in shared.codes:
        runs.save_step_code(tx, project_id, code)
    for artifact in shared.artifacts:
        runs.save_artifact(tx, project_id, artifact)
    for digest in shared.blobs:
        references.add(tx, project_id, "run", run.run_id, digest)
    for use in shared.uses:
        number = numbers.get((use.name, use.version or 0)) if use.kind == "dataset" else None
        here = msgspec.structs.replace(use, version=number or use.version)
        runs.add_use(tx, project_id, run.run_id, here)


def _read(shelf: Shelf, run_id: str, place: str) -> SharedRun:
    data = shelf.blobs.read_record(_name(run_id))
    if data is None:
        raise NotFound(
            f"There is no run {run_id!r} here, and none in {place}.",
            f"thrive runs push {run_id}, where it is",
        )
    try:
        shared = msgspec.json.decode(data, type=SharedRun)
    except msgspec.MsgspecError as error:
        raise Damaged(
            f"The record of run {run_id} in {place} is damaged: {error}.", "push it again"
        ) from None
    if shared.format > FORMAT:
        raise SchemaTooNew(
            f"The record of run {run_id} has format {shared.format}.",
            "pip install --upgrade thrive",
        )
    if shared.run.run_id != run_id:
        raise Conflict(f"{place} has another run under {run_id}.", "push it again")
    return shared


def _shared(ctx: Context, run: str) -> SharedRun:
    """Return a run with all that doing it again needs."""
    project, blobs = ctx.project_id, ctx.home.blobs
    with ctx.read() as tx:
        found = runs.get(tx, project, run)
        steps = runs.find_steps(tx, project, found.run_id)
        uses = runs.find_uses(tx, project, found.run_id)
        artifacts = runs.find_artifacts(tx, project, found.run_id)
        codes = [
            code
            for digest in sorted({step.code for step in steps} - {""})
            if (code := runs.get_step_code(tx, project, digest)) is not None
        ]
        read = [
            datasets.get_version(tx, project, use.name, use.version)
            for use in uses
            if use.kind == "dataset" and use.direction == "in" and use.version is not None
        ]
    if found.state is not RunState.DONE or found.code is None or not found.code.bundle:
        raise Refused(
            f"Run {found.run_id} cannot be done again: it ended {found.state.value}, or kept no "
            "copy of its code.",
            "choose one that is done",
        )
    needed = [found.code.bundle, *(artifact.digest for artifact in artifacts)]
    needed += [digest for step in steps for digest in _files_of(step.result)]
    for use in uses:
        if use.kind == "model" and use.direction == "out":
            manifest = read_manifest(blobs.get(use.digest), digest=use.digest)
            needed += [use.digest, *(entry.digest for entry in manifest.files.values())]
    return SharedRun(
        format=FORMAT,
        run=found,
        steps=steps,
        codes=codes,
        uses=uses,
        artifacts=artifacts,
        data=[record_of(ctx, version) for version in read],
        blobs=sorted(set(needed)),
    )


def _files_of(result: dict[str, Any] | None) -> list[str]:
    """Return the digests of a result's files; what stands in its row or its notebook has none."""
    if not result or result.get("data") or result["kind"] == OUTPUTS:
        return []
    return reference_of(result).digests()


def _place(folder: Path, given: str) -> str:
    place = given or read_remote(folder)
    if not place:
        raise UsageError(f"{LOCK_FILE} names no place to push to.", "thrive runs push RUN PLACE")
    return _absolute(folder, place)


def _absolute(folder: Path, place: str) -> str:
    return place if "://" in place else str(folder / Path(place).expanduser())


def _shelf(ctx: Context, place: str) -> Shelf:
    if "://" not in place and (Path(place) / FOLDER / "home.json").is_file():
        raise UsageError(f"{place} is the folder of a project.", "give another folder, or a bucket")
    return Shelf(place, ctx.home.object_endpoint(), ctx.home.temporary_folder)


def _name(run_id: str) -> str:
    return f"runs/{run_id}.json"
