"""Writes what a source holds into a project, and counts both sides."""

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from thrive.domain.errors import CannotTell, NotFound
from thrive.domain.experiment import Experiment, LoggedModel, LoggedState
from thrive.domain.identifiers import is_id
from thrive.domain.model import Model, ModelVersion
from thrive.domain.run import Artifact, Run, RunState
from thrive.flows.mlflow.source import (
    Fetch,
    PointsOf,
    Source,
    SourceExperiment,
    SourceLoggedModel,
    SourceModel,
    SourceRun,
    SourceVersion,
)
from thrive.operations import Context
from thrive.store import experiments, logged_models, models, runs
from thrive.store.observations import Observation, observe_one
from thrive.store.points import Points
from thrive.tracking.process import ELSEWHERE

MILLISECOND = 1000
STAGE_TAG = "thrive.stage"
_LARGEST = 1.7976931348623157e308
_STATES = {
    "SCHEDULED": RunState.SCHEDULED,
    "RUNNING": RunState.RUNNING,
    "FINISHED": RunState.DONE,
    "FAILED": RunState.FAILED,
    "KILLED": RunState.INTERRUPTED,
}
_LOGGED = {
    "LOGGED_MODEL_PENDING": LoggedState.PENDING,
    "LOGGED_MODEL_READY": LoggedState.READY,
    "LOGGED_MODEL_UPLOAD_FAILED": LoggedState.FAILED,
}
_OF_RUN = re.compile(r".*/([0-9a-f]{32})/artifacts/(.+)")


class Counts(msgspec.Struct, kw_only=True):
    """How many of each noun; points and artifacts of the runs of this call alone."""

    experiments: int = 0
    runs: int = 0
    params: int = 0
    metrics: int = 0
    points: int = 0
    artifacts: int = 0
    logged_models: int = 0
    models: int = 0
    versions: int = 0


class Importer:
    """Brings a source into a project; what is there already stays as it is.

    Args:
        ctx: the context of the call.
        source: what is read.
    """

    def __init__(self, ctx: Context, source: Source) -> None:
        self._ctx = ctx
        self._source = source
        self.there = Counts()
        self.here = Counts()
        self.already = 0
        self.left: list[str] = []
        self._numbers: dict[str, Experiment] = {}

    def bring(self) -> None:
        """Write everything: experiments, their runs and logged models, then registered models."""
        every = self._source.experiments()
        for place, experiment in enumerate(every):
            self._ctx.progress(place / max(1, len(every)), f"experiment {experiment.name}")
            self._experiment(experiment)
            for run in self._source.runs(experiment):
                self._run(run)
            for logged in self._source.logged_models(experiment):
                self._logged_model(logged)
        for model in self._source.models():
            self._model(model)

    def _experiment(self, given: SourceExperiment) -> None:
        ctx, created = self._ctx, given.created * MILLISECOND
        with ctx.write(f"experiment:{given.name}"[:200], imported=True) as tx:
            known = experiments.ensure(tx, ctx.project_id, given.name, created or ctx.now())
            tags = {**given.tags, **known.tags}
            deleted = known.deleted_at or (ctx.now() if given.deleted else None)
            found = msgspec.structs.replace(known, tags=tags, deleted_at=deleted)
            experiments.save(tx, ctx.project_id, found)
        self._numbers[given.experiment_id] = found
        self.there.experiments += 1
        self.here.experiments += 1

    def _run(self, given: SourceRun) -> None:
        ctx = self._ctx
        self.there.runs += 1
        self.there.params += len(given.params)
        self.there.metrics += len(given.metrics)
        if not is_id(given.run_id):
            self.left.append(f"run {given.run_id[:40]}: its id has another form")
            return
        with ctx.read() as tx:
            known = runs.some(tx, ctx.project_id, [given.run_id])
        if known:
            self.already += 1
        else:
            self._bring_run(given)
            with ctx.read() as tx:
                known = runs.some(tx, ctx.project_id, [given.run_id])
        self.here.runs += len(known)
        for run in known:
            self.here.params += len(given.params.keys() & run.params.keys())
            self.here.metrics += len(given.metrics & run.metrics.keys())

    def _bring_run(self, given: SourceRun) -> None:
        ctx = self._ctx
        self._artifacts(given.run_id, given.artifact_uri, given.start)
        columns = _columns(self._source.points(given))
        run = Run(
            run_id=given.run_id,
            experiment=self._numbers[given.experiment_id].name,
            name=given.name or f"run-{given.run_id[-8:]}",
            state=_STATES.get(given.status, RunState.DONE),
            actor=given.user or ctx.actor.name,
            started_at=given.start * MILLISECOND,
            ended_at=None if given.end is None else given.end * MILLISECOND,
            params=dict(given.params),
            tags=dict(given.tags),
            process=ELSEWHERE,
            inputs=given.inputs,
        )
        with ctx.write(f"run:{given.run_id}", imported=True) as tx:
            runs.save(tx, ctx.project_id, run)
            seen = observe_one(tx, ctx.project_id, run.run_id, Observation(columns=columns))
            if given.deleted:
                gone = msgspec.structs.replace(
                    run, metrics=seen.metrics, summaries=seen.summaries, deleted_at=ctx.now()
                )
                runs.save(tx, ctx.project_id, gone)
        self.there.points += sum(map(len, columns.values()))
        with ctx.read() as tx:
            self.here.points += sum(
                len(runs.metric_columns(tx, ctx.project_id, run.run_id, key)) for key in columns
            )

    def _artifacts(self, owner: str, uri: str, at: int) -> None:
        """Keep the files of a run or logged model; where they cannot be read, that is told."""
        try:
            for name, fetch in self._source.artifacts(uri):
                self.there.artifacts += 1
                self._artifact(owner, name, fetch, at)
                self.here.artifacts += 1
        except CannotTell as reason:
            self.left.append(f"files of {owner}: {reason.what}")

    def _artifact(self, owner: str, name: str, fetch: Fetch, at: int) -> None:
        ctx = self._ctx
        with tempfile.TemporaryDirectory(dir=ctx.home.temporary_folder) as folder:
            path = Path(folder) / "file"
            fetch(path)
            size, digest = path.stat().st_size, ctx.home.blobs.put_file(path)
        artifact = Artifact(
            run_id=owner,
            name=name,
            kind="file",
            digest=digest,
            size=size,
            created_at=at * MILLISECOND,
        )
        with ctx.observe(f"artifact:{owner}") as tx:
            runs.save_artifact(tx, ctx.project_id, artifact)

    def _logged_model(self, given: SourceLoggedModel) -> None:
        ctx = self._ctx
        self.there.logged_models += 1
        self.here.logged_models += 1
        if self._is_here(given.model_id):
            return
        self._artifacts(given.model_id, given.artifact_uri, given.created)
        created = given.created * MILLISECOND
        model = LoggedModel(
            model_id=given.model_id,
            experiment_id=self._numbers[given.experiment_id].experiment_id,
            name=given.name,
            state=_LOGGED.get(given.status, LoggedState.READY),
            kind=given.kind,
            run_id=given.run_id,
            created_at=created,
            updated_at=created,
            params=given.params,
            tags=given.tags,
            metrics=given.metrics,
        )
        with ctx.observe(f"logged-model:{given.model_id}") as tx:
            logged_models.save(tx, ctx.project_id, model)

    def _is_here(self, model_id: str) -> bool:
        """Tell whether a logged model was brought before: it is written after its files."""
        try:
            with self._ctx.read() as tx:
                logged_models.get(tx, self._ctx.project_id, model_id, deleted=True)
        except NotFound:
            return False
        return True

    def _model(self, given: SourceModel) -> None:
        ctx = self._ctx
        self.there.models += 1
        self.there.versions += len(given.versions)
        with ctx.write(f"model:{given.name}"[:200], imported=True) as tx:
            if not models.exists(tx, ctx.project_id, given.name):
                models.save(tx, ctx.project_id, self._made(given))
            known = models.get(tx, ctx.project_id, given.name)
            numbers = {one.version for one in models.versions(tx, ctx.project_id, given.name)}
            for version in given.versions:
                if version.version not in numbers:
                    made = self._version(given.name, version)
                    models.insert_version(tx, ctx.project_id, made, [])
            last = max((one.version for one in given.versions), default=0)
            renewed = msgspec.structs.replace(
                known,
                last_version=max(known.last_version or 0, last),
                aliases={**given.aliases, **(known.aliases or {})} or None,
            )
            models.save(tx, ctx.project_id, renewed)
        with ctx.read() as tx:
            here = {one.version for one in models.versions(tx, ctx.project_id, given.name)}
        self.here.models += 1
        self.here.versions += len(here & {one.version for one in given.versions})

    def _made(self, given: SourceModel) -> Model:
        created = given.created * MILLISECOND
        return Model(
            name=given.name,
            owner=self._ctx.actor.name,
            purpose=given.description,
            created_at=created,
            updated_at=created,
            tags=given.tags or None,
        )

    def _version(self, name: str, given: SourceVersion) -> ModelVersion:
        created = given.created * MILLISECOND
        label = {} if given.stage in {"", "None"} else {STAGE_TAG: given.stage}
        return ModelVersion(
            model=name,
            version=given.version,
            package="",
            signature={},
            metrics={},
            run_id=given.run_id,
            contract="",
            commit="",
            dirty=True,
            created_at=created,
            updated_at=created,
            actor=given.user or self._ctx.actor.name,
            note=given.description,
            source=self._address(given.source),
            logged_model=given.model_id,
            tags={**given.tags, **label} or None,
        )

    def _address(self, source: str) -> str:
        """Return where the files of a version are now: those of a run lie under its new address."""
        found = _OF_RUN.fullmatch(source)
        if found is None:
            return source
        with self._ctx.read() as tx:
            known = runs.some(tx, self._ctx.project_id, [found[1]])
            if not known:
                return source
            experiment = experiments.named(tx, self._ctx.project_id, known[0].experiment)
        number = experiment.experiment_id if experiment else 0
        return f"mlflow-artifacts:/{number}/{found[1]}/artifacts/{found[2]}"


def _columns(points: PointsOf) -> dict[str, Points]:
    """Return the distinct points of each metric; an infinity is kept as the largest number."""
    return {key: _points(several).distinct() for key, several in points.items() if several}


def _points(several: Iterable[tuple[int, int, float]]) -> Points:
    moments, steps, values = zip(*several, strict=True)
    numbers = np.array(values, np.float64)
    kept = np.where(np.isnan(numbers), numbers, np.clip(numbers, -_LARGEST, _LARGEST))
    return Points(np.array(steps, np.int64), np.array(moments, np.int64) * MILLISECOND, kept)
