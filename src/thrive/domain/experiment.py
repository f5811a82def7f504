"""Experiments, and the models that runs log without registering them."""

from enum import StrEnum
from typing import Any

import msgspec


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A name under which runs are compared; its number never changes, its name may."""

    experiment_id: int
    name: str
    created_at: int
    updated_at: int
    tags: dict[str, str] = {}
    deleted_at: int | None = None


class LoggedState(StrEnum):
    """Whether the files of a logged model have arrived."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that an MLflow client logged: files under an id, before anybody registers it.

    `kind` is what the client calls its type. `metrics` are the points mirrored onto it, each with
    `key`, `value`, `step`, `timestamp` (milliseconds), `run_id` and the dataset it was measured on.
    """

    model_id: str
    experiment_id: int
    name: str
    state: LoggedState
    created_at: int
    updated_at: int
    kind: str = ""
    run_id: str = ""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: list[dict[str, Any]] = []
    message: str = ""
    deleted_at: int | None = None
