"""The SQLite database of an MLflow server as a source; the server need not run."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from thrive.store.foreign import ForeignDatabase

_LOGGED_STATES = {
    1: "LOGGED_MODEL_PENDING",
    2: "LOGGED_MODEL_READY",
    3: "LOGGED_MODEL_UPLOAD_FAILED",
}


class MlflowDatabase:
    """Reads a database, and the artifacts beside it.

    Args:
        path: the SQLite file.
        artifacts: the folder of what the server passes on.

    Raises:
        UsageError: the file is no database of MLflow.
    """

    def __init__(self, path: Path, artifacts: Path) -> None:
        self._artifacts = artifacts
        self._foreign = ForeignDatabase(path)
        self._tables = self._foreign.tables
        if not {"experiments", "runs", "latest_metrics"} <= self._tables:
            raise UsageError(f"{path} holds no runs of MLflow.", "give mlflow.db, or a folder")

    def experiments(self) -> list[SourceExperiment]:
        """Return every experiment, deleted ones too."""
        return [
            SourceExperiment(
                experiment_id=str(row["experiment_id"]),
                name=row["name"],
                created=row["creation_time"] or 0,
                deleted=row["lifecycle_stage"] == "deleted",
                tags=self._pairs("experiment_tags", "experiment_id", row["experiment_id"]),
            )
            for row in self._rows("SELECT * FROM experiments")
        ]

    def runs(self, experiment: SourceExperiment) -> Iterator[SourceRun]:
        """Yield the runs of an experiment, deleted ones too."""
        query = "SELECT * FROM runs WHERE experiment_id = ? ORDER BY start_time"
        for row in self._rows(query, experiment.experiment_id):
            run_id = row["run_uuid"]
            keys = self._rows("SELECT key FROM latest_metrics WHERE run_uuid = ?", run_id)
            yield SourceRun(
                run_id=run_id,
                experiment_id=experiment.experiment_id,
                name=row["name"] or "",
                status=row["status"] or "FINISHED",
                user=row["user_id"] or "",
                start=row["start_time"] or 0,
                end=row["end_time"],
                artifact_uri=row["artifact_uri"] or "",
                deleted=row["lifecycle_stage"] == "deleted",
                params=self._pairs("params", "run_uuid", run_id),
                tags=self._pairs("tags", "run_uuid", run_id),
                metrics=frozenset(each["key"] for each in keys),
            )

    def points(self, run: SourceRun) -> PointsOf:
        """Return the histories of a run's metrics."""
        found: dict[str, list[tuple[int, int, float]]] = {}
        query = (
            "SELECT key, timestamp, step, value, is_nan FROM metrics WHERE run_uuid = ?"
            " ORDER BY key, step, timestamp"
        )
        for row in self._rows(query, run.run_id):
            value = float("nan") if row["is_nan"] else row["value"]
            found.setdefault(row["key"], []).append((row["timestamp"], row["step"], value))
        return found

    def logged_models(self, experiment: SourceExperiment) -> list[SourceLoggedModel]:
        """Return the models that were logged in an experiment; databases before 3.0 have none."""
        if "logged_models" not in self._tables:
            return []
        query = "SELECT * FROM logged_models WHERE experiment_id = ?"
        return [
            SourceLoggedModel(
                model_id=row["model_id"],
                experiment_id=experiment.experiment_id,
                name=row["name"],
                status=_LOGGED_STATES.get(row["status"], "LOGGED_MODEL_READY"),
                kind=row["model_type"] or "",
                run_id=row["source_run_id"] or "",
                created=row["creation_timestamp_ms"],
                artifact_uri=row["artifact_location"],
                params=self._logged_pairs("params", row["model_id"]),
                tags=self._logged_pairs("tags", row["model_id"]),
            )
            for row in self._rows(query, experiment.experiment_id)
        ]

    def models(self) -> list[SourceModel]:
        """Return the registered models."""
        return [self._model(row) for row in self._rows("SELECT * FROM registered_models")]

    def _model(self, row: Mapping[str, Any]) -> SourceModel:
        name = row["name"]
        aliases: dict[str, int] = {}
        if "registered_model_aliases" in self._tables:
            query = "SELECT alias, version FROM registered_model_aliases WHERE name = ?"
            aliases = {each["alias"]: int(each["version"]) for each in self._rows(query, name)}
        versions = self._rows(
            "SELECT * FROM model_versions WHERE name = ? AND current_stage != ?",
            name,
            "Deleted_Internal",
        )
        return SourceModel(
            name=name,
            description=row["description"] or "",
            created=row["creation_time"] or 0,
            tags=self._pairs("registered_model_tags", "name", name),
            aliases=aliases,
            versions=[self._version(each) for each in versions],
        )

    def _version(self, row: Mapping[str, Any]) -> SourceVersion:
        query = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"
        tags = self._rows(query, row["name"], row["version"])
        return SourceVersion(
            version=row["version"],
            source=row["source"] or "",
            run_id=row["run_id"] or "",
            description=row["description"] or "",
            stage=row["current_stage"] or "None",
            user=row["user_id"] or "",
            created=row["creation_time"] or 0,
            tags={each["key"]: each["value"] or "" for each in tags},
            model_id=(row["source"] or "").removeprefix("models:/").partition("/")[0]
            if (row["source"] or "").startswith("models:/m-")
            else "",
        )

    def artifacts(self, uri: str) -> Iterator[tuple[str, Fetch]]:
        """Yield name and content of each file below an address on this machine."""
        return files_below(folder_of(uri, self._artifacts))

    def _rows(self, query: str, *values: Any) -> Sequence[Mapping[str, Any]]:
        return self._foreign.rows(query, *values)

    def _pairs(self, table: str, column: str, value: Any) -> dict[str, str]:
        query = f"SELECT key, value FROM {table} WHERE {column} = ?"  # noqa: S608 - our own words
        return {row["key"]: row["value"] or "" for row in self._rows(query, value)}

    def _logged_pairs(self, what: str, model_id: str) -> dict[str, str]:
        key = {"params": "param", "tags": "tag"}[what]
        query = (
            f"SELECT {key}_key AS key, {key}_value AS value FROM logged_model_{what}"  # noqa: S608 - our own words
            " WHERE model_id = ?"
        )
        return {row["key"]: row["value"] or "" for row in self._rows(query, model_id)}
