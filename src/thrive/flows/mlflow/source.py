"""What a source of tracked runs offers, whichever form it has."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

PointsOf = Mapping[str, list[tuple[int, int, float]]]
"""By metric: moment (milliseconds), step and value of each point, in the order of the source."""


class SourceExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment; times in milliseconds."""

    experiment_id: str
    name: str
    created: int
    deleted: bool = False
    tags: dict[str, str] = {}


class SourceRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run without the histories of its metrics; times in milliseconds."""

    run_id: str
    experiment_id: str
    name: str
    status: str
    user: str
    start: int
    end: int | None
    artifact_uri: str
    deleted: bool = False
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: frozenset[str] = frozenset()
    inputs: list[dict[str, Any]] | None = None


class SourceVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a registered model; times in milliseconds."""

    version: int
    source: str
    run_id: str
    description: str
    stage: str
    user: str
    created: int
    tags: dict[str, str] = {}
    model_id: str = ""


class SourceModel(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model with its versions."""

    name: str
    description: str
    created: int
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}
    versions: list[SourceVersion] = []


class SourceLoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was logged under an id; times in milliseconds."""

    model_id: str
    experiment_id: str
    name: str
    status: str
    kind: str
    run_id: str
    created: int
    artifact_uri: str
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: list[dict[str, Any]] = []


Fetch = Callable[[Path], None]
"""Writes the bytes of a file to a path."""


class Source(Protocol):
    """A server, a database or a folder."""

    def experiments(self) -> list[SourceExperiment]:
        """Return every experiment, deleted ones too."""
        ...

    def runs(self, experiment: SourceExperiment) -> Iterator[SourceRun]:
        """Yield the runs of an experiment, deleted ones too."""
        ...

    def points(self, run: SourceRun) -> PointsOf:
        """Return the histories of a run's metrics."""
        ...

    def logged_models(self, experiment: SourceExperiment) -> list[SourceLoggedModel]:
        """Return the models that were logged in an experiment."""
        ...

    def models(self) -> list[SourceModel]:
        """Return the registered models."""
        ...

    def artifacts(self, uri: str) -> Iterator[tuple[str, Fetch]]:
        """Yield name and content of each file below the artifact address of a run or model.

        Raises:
            CannotTell: the address is of a place that is not read from here.
        """
        ...
