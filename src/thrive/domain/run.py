"""Runs: one execution of a pipeline or a script, with everything it used and made."""

from enum import StrEnum
from typing import Any

import msgspec

OPAQUE = "all, opaque"
"""The columns of a reading whose use cannot be seen."""

REPRODUCES = "reproduces"
"""The tag of a run that repeats another one: its id."""


class RunState(StrEnum):
    """Where a run, or a step of it, stands."""

    SCHEDULED = "scheduled"
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
    """One step of a run.

    Attributes:
        outputs: the artifacts it wrote.
        index: its place in a fan-out, None outside of one.
        key: digest over all that its result follows from; "" where none could be made.
        code: digest of the code it stands on; `step_codes` says what that is.
        inputs: the rest of what the key is made of, for people to compare.
        result: where its result is; small ones stand here themselves.
        effects: what it read and logged, to be said again when its result is used again.
        source: the step `RUN/POSITION` whose result was used again, "" if it was executed.
        note: why its result will not be used again, or what else is to be said.
        attempts: how often it was tried.
        cpu: microseconds of CPU it used.
        peak: bytes of memory it held at most.
    """

    run_id: str
    position: int
    name: str
    state: RunState
    started_at: int
    ended_at: int | None = None
    seed: int = 0
    outputs: list[str] = []
    error: str = ""
    index: int | None = None
    key: str = ""
    code: str = ""
    inputs: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    effects: dict[str, Any] | None = None
    source: str = ""
    note: str = ""
    attempts: int | None = None
    cpu: int | None = None
    peak: int | None = None

    @property
    def label(self) -> str:
        """Its name, with its place in a fan-out: `fit[3]`."""
        return self.name if self.index is None else f"{self.name}[{self.index}]"


class StepCode(msgspec.Struct, frozen=True, kw_only=True):
    """The code that a step stands on: names with the digests of their trees, and libraries."""

    digest: str
    parts: dict[str, str]
    libraries: dict[str, str]


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A named result of a run, stored by content."""

    run_id: str
    name: str
    kind: str
    digest: str
    size: int
    created_at: int


class MetricSummary(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a metric beside its latest value.

    `step` and `at` (UTC microseconds) are those of the latest point; `low` and `high` are the
    extremes over all points, None while every value is NaN; `points` counts what was logged.
    """

    step: int
    at: int
    low: float | None
    high: float | None
    points: int


class ModelUse(msgspec.Struct, frozen=True):
    """A logged model that a run read (`in`) or wrote (`out`), at a step of its training."""

    model_id: str
    direction: str
    step: int = 0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. `metrics` holds the latest value of each key, `summaries` the rest of it.

    `environment` is the record of Python, platform, libraries, threads and chosen variables.
    `process` names the operating-system process that drives it, so that a dead one is noticed.
    `inputs` are datasets as an MLflow client describes them, `logged_models` the models that the
    run read or wrote; None for none.
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
    summaries: dict[str, MetricSummary] | None = None
    inputs: list[dict[str, Any]] | None = None
    logged_models: list[ModelUse] | None = None
    deleted_at: int | None = None


class MetricPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One observation of a metric; `value` None stands for NaN."""

    key: str
    value: float | None
    step: int
    at: int
