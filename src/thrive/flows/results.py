"""Results of steps as a run keeps them: artifacts by content, and versions of datasets."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import NotFound
from thrive.domain.run import Artifact, Use
from thrive.operations import Context
from thrive.store import datasets
from thrive.tracking.recorder import RunRecorder
from thrive.training.artifacts import FILE, ROW_BYTES, Ref
from thrive.training.outputs import DATASET

if TYPE_CHECKING:
    from thrive.flows.derived import Origin

LARGEST_INPUT = 1 << 30
"""Bytes of a declared file above which no copy of it is kept: it had better be a dataset."""
INPUTS = "inputs/"
"""Before the name of the artifact that is a declared file."""


def reference_of(result: dict[str, Any]) -> Ref:
    """Return where a result is, from a message or from the row of its step."""
    return msgspec.convert(result, Ref)


def is_there(ctx: Context, result: dict[str, Any] | None) -> bool:
    """Tell whether a result can still be read here: one that is gone is unknown."""
    if not result:
        return False
    ref = reference_of(result)
    digests = [] if ref.data else ref.digests()
    try:
        ctx.home.blobs.fetch(*digests)
        return all(ctx.home.blobs.local.has(digest) for digest in digests)
    except NotFound:
        return False


class Results:
    """Keeps what the steps of one run return.

    Args:
        ctx: the context of the operation.
        recorder: that of the run.
        origins: from which columns that the run read each of some columns may come.
        publishes: whether declared datasets get versions; a run that repeats another makes none.
    """

    def __init__(
        self,
        ctx: Context,
        recorder: RunRecorder,
        origins: "Callable[[Collection[str]], Mapping[str, Sequence[Origin]]]",
        *,
        publishes: bool,
    ) -> None:
        self._ctx = ctx
        self._recorder = recorder
        self._origins = origins
        self._publishes = publishes
        self._inputs: set[str] = set()

    def keep_inputs(self, inputs: dict[str, Any] | None) -> None:
        """Keep the declared files of a step that is executed: doing the run again needs them."""
        for name, digest in (inputs or {}).get("files", {}).items():
            if not digest or name in self._inputs:
                continue
            self._inputs.add(name)
            path = self._ctx.local_folder() / name
            size = path.stat().st_size if path.is_file() else LARGEST_INPUT + 1
            if size <= LARGEST_INPUT and self._ctx.home.blobs.put_file(path) == digest:
                self._recorder.save(self._recorder.artifact(INPUTS + name, FILE, digest, size))

    def artifacts(self, result: dict[str, Any], label: str, index: int | None) -> list[Artifact]:
        """Keep the files of a result for good, and return their artifacts.

        A small result of a fan-out stands in its row and has none.
        """
        ref = reference_of(result)
        if index is not None and ref.data and ref.size <= ROW_BYTES:
            return []
        parts = ref.parts or (ref,)
        self._ctx.home.blobs.admit(*(part.digest for part in parts))
        place = "" if index is None else f"[{index}]"
        return [
            self._recorder.artifact(
                part.name.removeprefix(DATASET) + place if part.name else label,
                part.kind,
                part.digest,
                part.size,
            )
            for part in parts
        ]

    def publish(
        self, result: dict[str, Any], label: str, known: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Make versions of the datasets that a result declares, as part of the run's lineage.

        Args:
            result: where it is.
            label: the step.
            known: what this returned when the step was executed; versions that are still there
                are not made again.

        Returns:
            dataset, number and digest of each version.
        """
        if not self._publishes:
            return []
        ref = reference_of(result)
        made: list[dict[str, Any]] = []
        for part in ref.parts or (ref,):
            if part.name.startswith(DATASET):
                name = part.name.removeprefix(DATASET)
                version = self._known(name, known) or self._add(name, part, label)
                self._recorder.use(_written(version))
                said = {"name": name, "version": version.version, "digest": version.digest}
                made.append(said)
        return made

    def _known(self, name: str, known: list[dict[str, Any]]) -> DatasetVersion | None:
        said = next((each for each in known if each["name"] == name), None)
        if said is None:
            return None
        with self._ctx.read() as tx:
            found = datasets.find_by_digest(tx, self._ctx.project_id, said["digest"])
        return next((each for each in found if each.dataset == name), None)

    def _add(self, name: str, part: Ref, label: str) -> DatasetVersion:
        import tempfile

        import polars as pl

        from thrive.data.reading import find_version
        from thrive.data.storing import add_rows
        from thrive.data.wanted import terms_of
        from thrive.flows.derived import inherit

        ctx, run_id = self._ctx, self._recorder.run.run_id
        with tempfile.TemporaryDirectory(dir=ctx.home.temporary_folder, prefix="rows-") as folder:
            path = Path(folder) / "rows.parquet"
            _lay(_path_of(ctx, part.digest), path)
            schema = {key: str(kind) for key, kind in pl.read_parquet_schema(path).items()}
            derived = inherit(ctx, name, schema, self._origins(schema))
            why = terms_of(ctx.local_folder(), name).why or f"What step {label} returns."
            added = add_rows(ctx, path, name=name, why=why, derived=derived)
        version = find_version(ctx, name, added.version)
        if version.made_by:
            return version
        source = f"step {label} of run {run_id}"
        made = msgspec.structs.replace(version, source=source, made_by=run_id)
        with ctx.write(f"dataset:{name}", source=source) as tx:
            datasets.replace_version(tx, ctx.project_id, made)
        return made


def _written(version: DatasetVersion) -> Use:
    return Use(
        kind="dataset",
        name=version.dataset,
        digest=version.digest,
        direction="out",
        version=version.version,
    )


def _path_of(ctx: Context, digest: str) -> Path:
    path = ctx.home.blobs.local_path(digest)
    if path is None:
        raise NotFound(f"There is no blob {digest} here.", "run the pipeline again")
    return path


def _lay(source: Path, target: Path) -> None:
    """Give a file another name, without a copy where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        import shutil

        shutil.copyfile(source, target)
