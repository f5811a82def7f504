"""A folder `mlruns` as a source: a file a run, a parameter, a tag, a metric."""

import re
from collections.abc import Iterator
from pathlib import Path

from thrive.domain.errors import UsageError
from thrive.flows.mlflow.files import files_below, folder_of
from thrive.flows.mlflow.source import (
    Fetch,
    PointsOf,
    SourceExperiment,
    SourceLoggedModel,
    SourceModel,
    SourceRun,
    SourceVersion,
)

META = "meta.yaml"
_TRASH = ".trash"
_MODELS = "models"
_STATUSES = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
_LOGGED = {
    "1": "LOGGED_MODEL_PENDING",
    "2": "LOGGED_MODEL_READY",
    "3": "LOGGED_MODEL_UPLOAD_FAILED",
}
_LINE = re.compile(r"([A-Za-z_]\w*): ?(.*)")


class MlflowFolder:
    """Reads a folder that runs were tracked into without a server.

    Args:
        root: the folder.

    Raises:
        UsageError: it holds no experiment.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        if not any(root.glob(f"*/{META}")):
            raise UsageError(f"{root} holds no experiments of MLflow.", "give the folder mlruns")

    def experiments(self) -> list[SourceExperiment]:
        """Return every experiment, deleted ones too."""
        found: list[SourceExperiment] = []
        for root in (self._root, self._root / _TRASH):
            for meta in sorted(root.glob(f"*/{META}")):
                known = read_meta(meta)
                if "experiment_id" not in known:
                    continue
                found.append(
                    SourceExperiment(
                        experiment_id=meta.parent.relative_to(self._root).as_posix(),
                        name=known.get("name", meta.parent.name),
                        created=int(known.get("creation_time") or 0),
                        deleted=known.get("lifecycle_stage") == "deleted",
                        tags=_values(meta.parent / "tags"),
                    )
                )
        return found

    def runs(self, experiment: SourceExperiment) -> Iterator[SourceRun]:
        """Yield the runs of an experiment, deleted ones too."""
        for meta in sorted((self._root / experiment.experiment_id).glob(f"*/{META}")):
            known = read_meta(meta)
            if "run_id" not in known:
                continue
            folder = meta.parent
            tags = _values(folder / "tags")
            yield SourceRun(
                run_id=known["run_id"],
                experiment_id=experiment.experiment_id,
                name=known.get("run_name") or tags.get("mlflow.runName", ""),
                status=_STATUSES.get(known.get("status", ""), known.get("status", "FINISHED")),
                user=known.get("user_id", ""),
                start=int(known.get("start_time") or 0),
                end=int(known["end_time"]) if known.get("end_time") else None,
                artifact_uri=str(folder / "artifacts"),
                deleted=known.get("lifecycle_stage") == "deleted",
                params=_values(folder / "params"),
                tags=tags,
                metrics=frozenset(name for name, _ in files_below(folder / "metrics")),
            )

    def points(self, run: SourceRun) -> PointsOf:
        """Return the histories of a run's metrics: a line a point, moment, value and step."""
        folder = self._root / run.experiment_id / run.run_id / "metrics"
        found: dict[str, list[tuple[int, int, float]]] = {}
        for name, _ in files_below(folder):
            lines = [line.split() for line in (folder / name).read_text().splitlines() if line]
            found[name] = [
                (int(line[0]), int(line[2]) if len(line) > 2 else 0, float(line[1]))
                for line in lines
            ]
        return found

    def logged_models(self, experiment: SourceExperiment) -> list[SourceLoggedModel]:
        """Return the models that were logged in an experiment."""
        place = self._root / experiment.experiment_id / _MODELS
        found: list[SourceLoggedModel] = []
        for meta in sorted(place.glob(f"m-*/{META}")):
            known = read_meta(meta)
            status = known.get("status", "")
            found.append(
                SourceLoggedModel(
                    model_id=known.get("model_id", meta.parent.name),
                    experiment_id=experiment.experiment_id,
                    name=known.get("name", "model"),
                    status=_LOGGED.get(status, status or "LOGGED_MODEL_READY"),
                    kind=known.get("model_type", ""),
                    run_id=known.get("source_run_id", ""),
                    created=int(known.get("creation_timestamp") or 0),
                    artifact_uri=str(meta.parent / "artifacts"),
                    params=_values(meta.parent / "params"),
                    tags=_values(meta.parent / "tags"),
                )
            )
        return found

    def models(self) -> list[SourceModel]:
        """Return the registered models."""
        return [self._model(meta.parent) for meta in sorted(self._root.glob(f"models/*/{META}"))]

    def _model(self, folder: Path) -> SourceModel:
        known = read_meta(folder / META)
        return SourceModel(
            name=known.get("name", folder.name),
            description=known.get("description", ""),
            created=int(known.get("creation_timestamp") or 0),
            tags=_values(folder / "tags"),
            aliases={name: int(text) for name, text in _values(folder / "aliases").items()},
            versions=[
                _version(meta)
                for meta in sorted(folder.glob(f"version-*/{META}"))
                if read_meta(meta).get("current_stage") != "Deleted_Internal"
            ],
        )

    def artifacts(self, uri: str) -> Iterator[tuple[str, Fetch]]:
        """Yield name and content of each file below an address on this machine."""
        return files_below(folder_of(uri, self._root))


def _version(meta: Path) -> SourceVersion:
    known = read_meta(meta)
    source = known.get("source", "")
    logged = source.startswith("models:/m-")
    return SourceVersion(
        version=int(known["version"]),
        source=source,
        run_id=known.get("run_id", ""),
        description=known.get("description", ""),
        stage=known.get("current_stage") or "None",
        user=known.get("user_id", ""),
        created=int(known.get("creation_timestamp") or 0),
        tags=_values(meta.parent / "tags"),
        model_id=source.removeprefix("models:/").partition("/")[0] if logged else "",
    )


def _values(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name, _ in files_below(folder)}


def read_meta(path: Path) -> dict[str, str]:
    """Return the scalars of a `meta.yaml`: one `key: value` a line, which is all that is there.

    A value that goes on over further lines is joined by spaces; lists and nulls are left out.
    """
    found: dict[str, str] = {}
    last = ""
    for line in path.read_text().splitlines():
        match = _LINE.fullmatch(line)
        if match:
            last = match[1]
            found[last] = match[2].strip()
        elif last and line.startswith("  "):
            found[last] += f" {line.strip()}"
    return {
        key: _plain(value) for key, value in found.items() if value not in {"null", "[]", "{}", ""}
    }


def _plain(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1].encode().decode("unicode_escape", errors="replace")
    return value
