"""Runs: one execution of a pipeline or a script, with everything it used and made."""

from enum import StrEnum
from typing import Any

import msgspec

OPAQUE = "all, opaque"
"""The columns of a reading whose use cannot be seen."""


class RunState(StrEnum):
    """Where a run, or a step of it, stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class CodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The code a run executed: commit, the diff against it, and a bundle of the files by digest."""

    entry: str
    commit: str = ""
    branch: str = ""
    dirty: bool = False
    diff: str = ""
    bundle: str = ""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One edge of lineage: the run read or wrote the `kind` named `name` with content `digest`.

    `columns` are those of a dataset that were really read; None where that is not known.
    """

    kind: str
    name: str
    digest: str
    direction: str
    version: int | None = None
    columns: list[str] | None = None

    def needed(self) -> str:
        """Return the columns as words; where rows were taken whole, that nobody can tell them."""
        return ", ".join(self.columns) if self.columns is not None else OPAQUE


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run."""

    run_id: str
    position: int
    name: str
    state: RunState
    started_at: int
    ended_at: int | None = None
    seed: int = 0
    outputs: list[str] = []
    error: str = ""


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A named result of a run, stored by content."""

    run_id: str
    name: str
    kind: str
    digest: str
    size: int
    created_at: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. `metrics` holds the latest value of each key.

    `environment` is the record of Python, platform, libraries, threads and chosen variables.
    `process` names the operating-system process that drives it, so that a dead one is noticed.
    """

    run_id: str
    experiment: str
    name: str
    state: RunState
    actor: str
    started_at: int
    ended_at: int | None = None
    pipeline: str = ""
    params: dict[str, Any] = {}
    metrics: dict[str, float | None] = {}
    tags: dict[str, str] = {}
    code: CodeRecord | None = None
    environment: dict[str, Any] = {}
    seed: int = 0
    error: str = ""
    process: str = ""
    replay: bool = False


class MetricPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One observation of a metric; `value` None stands for NaN."""

    key: str
    value: float | None
    step: int
    at: int
