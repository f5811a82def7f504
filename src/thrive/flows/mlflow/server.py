"""An MLflow server as a source, asked over its own protocol."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from thrive.domain.errors import CannotTell, NotFound
from thrive.flows.mlflow.connection import API, PROXY, Connection
from thrive.flows.mlflow.source import (
    Fetch,
    PointsOf,
    SourceExperiment,
    SourceLoggedModel,
    SourceModel,
    SourceRun,
    SourceVersion,
)

_PAGE = 1000
_POINTS = 25_000
_TOGETHER = 8
"""Histories that are asked for at the same time."""


class MlflowServer:
    """Reads a server; who asks is told by MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD.

    Args:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        self._connection = Connection(url)

    def experiments(self) -> list[SourceExperiment]:
        """Return every experiment, deleted ones too."""
        found = self._pages("experiments/search", "experiments", {"view_type": "ALL"})
        return [
            SourceExperiment(
                experiment_id=one["experiment_id"],
                name=one["name"],
                created=int(one.get("creation_time", 0)),
                deleted=one.get("lifecycle_stage") == "deleted",
                tags=_pairs(one.get("tags")),
            )
            for one in found
        ]

    def runs(self, experiment: SourceExperiment) -> Iterator[SourceRun]:
        """Yield the runs of an experiment, deleted ones too."""
        body = {"experiment_ids": [experiment.experiment_id], "run_view_type": "ALL"}
        for one in self._pages("runs/search", "runs", body):
            info, data = one["info"], one.get("data", {})
            yield SourceRun(
                run_id=info["run_id"],
                experiment_id=experiment.experiment_id,
                name=info.get("run_name", ""),
                status=info.get("status", "FINISHED"),
                user=info.get("user_id", ""),
                start=int(info.get("start_time", 0)),
                end=int(info["end_time"]) if info.get("end_time") else None,
                artifact_uri=info.get("artifact_uri", ""),
                deleted=info.get("lifecycle_stage") == "deleted",
                params=_pairs(data.get("params")),
                tags=_pairs(data.get("tags")),
                metrics=frozenset(metric["key"] for metric in data.get("metrics", ())),
                inputs=one.get("inputs", {}).get("dataset_inputs") or None,
            )

    def points(self, run: SourceRun) -> PointsOf:
        """Return the histories of a run's metrics."""
        keys = sorted(run.metrics)
        with ThreadPoolExecutor(_TOGETHER) as pool:
            histories = pool.map(partial(self._history, run), keys)
            return dict(zip(keys, histories, strict=True))

    def _history(self, run: SourceRun, key: str) -> list[tuple[int, int, float]]:
        given = {"run_id": run.run_id, "metric_key": key, "max_results": _POINTS}
        found: list[tuple[int, int, float]] = []
        while True:
            page = self._connection.ask("GET", f"{API}metrics/get-history?{urlencode(given)}")
            found += [
                (int(one["timestamp"]), int(one.get("step", 0)), float(one["value"]))
                for one in page.get("metrics", ())
            ]
            if not page.get("next_page_token"):
                return found
            given["page_token"] = page["next_page_token"]

    def logged_models(self, experiment: SourceExperiment) -> list[SourceLoggedModel]:
        """Return the models that were logged in an experiment; servers before 3.0 have none."""
        body = {"experiment_ids": [experiment.experiment_id]}
        try:
            found = list(self._pages("logged-models/search", "models", body, 100))
        except NotFound:
            return []
        return [_logged_model(one["info"], one.get("data", {})) for one in found]

    def models(self) -> list[SourceModel]:
        """Return the registered models."""
        found = self._pages("registered-models/search", "registered_models", None, 100)
        return [self._model(one) for one in found]

    def _model(self, one: dict[str, Any]) -> SourceModel:
        quoted = one["name"].replace("'", "\\'")
        versions = self._pages(
            "model-versions/search", "model_versions", {"filter": f"name='{quoted}'"}, _PAGE, "GET"
        )
        return SourceModel(
            name=one["name"],
            description=one.get("description", ""),
            created=int(one.get("creation_timestamp", 0)),
            tags=_pairs(one.get("tags")),
            aliases={each["alias"]: int(each["version"]) for each in one.get("aliases", ())},
            versions=[_version(each) for each in versions],
        )

    def artifacts(self, uri: str) -> Iterator[tuple[str, Fetch]]:
        """Yield name and content of each file below an address that the server passes on."""
        if urlsplit(uri).scheme != "mlflow-artifacts":
            raise CannotTell(
                f"The files at {uri[:80]} are not passed on by the server.",
                "copy them beside it, or log them again",
            )
        root = urlsplit(uri).path.strip("/")
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            path = f"{root}/{folder}".rstrip("/")
            listed = self._connection.ask("GET", f"{PROXY}?{urlencode({'path': path})}").get(
                "files", ()
            )
            for entry in listed:
                name = f"{folder}/{entry['path']}".lstrip("/")
                if entry.get("is_dir"):
                    waiting.append(name)
                else:
                    yield name, self._fetch(f"{PROXY}/{quote(root)}/{quote(name)}")

    def _fetch(self, path: str) -> Fetch:
        def fetch(to: Path) -> None:
            with self._connection.open("GET", path, None) as answer, to.open("wb") as file:
                shutil.copyfileobj(answer, file, 1 << 20)

        return fetch

    def _pages(
        self,
        path: str,
        field: str,
        given: dict[str, Any] | None,
        size: int = _PAGE,
        method: str = "POST",
    ) -> Iterator[dict[str, Any]]:
        """Yield what a search answers, page after page; without a body it is a GET."""
        asked = {**(given or {}), "max_results": size}
        while True:
            if given is None or method == "GET":
                page = self._connection.ask("GET", f"{API}{path}?{urlencode(asked)}")
            else:
                page = self._connection.ask("POST", API + path, asked)
            yield from page.get(field, ())
            if not page.get("next_page_token"):
                return
            asked["page_token"] = page["next_page_token"]


def _pairs(listed: Any) -> dict[str, str]:
    return {one["key"]: one.get("value", "") for one in listed or ()}


def _version(one: dict[str, Any]) -> SourceVersion:
    return SourceVersion(
        version=int(one["version"]),
        source=one.get("source", ""),
        run_id=one.get("run_id", ""),
        description=one.get("description", ""),
        stage=one.get("current_stage", "None"),
        user=one.get("user_id", ""),
        created=int(one.get("creation_timestamp", 0)),
        tags=_pairs(one.get("tags")),
        model_id=one.get("model_id", ""),
    )


def _logged_model(info: dict[str, Any], data: dict[str, Any]) -> SourceLoggedModel:
    return SourceLoggedModel(
        model_id=info["model_id"],
        experiment_id=info["experiment_id"],
        name=info.get("name", "model"),
        status=str(info.get("status", "LOGGED_MODEL_READY")),
        kind=info.get("model_type", ""),
        run_id=info.get("source_run_id", ""),
        created=int(info.get("creation_timestamp_ms", 0)),
        artifact_uri=info.get("artifact_uri", ""),
        params=_pairs(data.get("params")),
        tags=_pairs(info.get("tags")),
        metrics=list(data.get("metrics", ())),
    )
