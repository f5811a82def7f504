"""Runs, their steps, metrics, artifacts and lineage."""

from sqlalchemy import Column, Index, LargeBinary, Table, UniqueConstraint
from sqlalchemy import text as sql_text

from thrive.store.tables.columns import (
    digest,
    flag,
    key,
    key_number,
    metadata,
    name,
    number,
    project,
    short_text,
    text,
    value,
)

_RUNNING = sql_text("state = 'running'")
"""Few runs are: looking for those whose process died reads no others."""

runs = Table(
    "runs",
    metadata,
    project(),
    key("run_id"),
    Column("experiment", short_text(500), nullable=False),
    Column("name", short_text(500), nullable=False),
    Column("state", short_text(12), nullable=False),
    name("actor"),
    number("started_at"),
    number("ended_at", null=True),
    name("pipeline"),
    value("params"),
    value("metrics"),
    value("tags"),
    value("code", null=True),
    value("environment"),
    number("seed"),
    text("error"),
    name("process"),
    flag("replay"),
    value("summaries", null=True),
    value("inputs", null=True),
    value("logged_models", null=True),
    number("deleted_at", null=True),
    Index("ix_runs_project_id_experiment_run_id", "project_id", "experiment", "run_id"),
    Index(
        "ix_runs_running",
        "project_id",
        "state",
        "run_id",
        "process",
        sqlite_where=_RUNNING,  # on PostgreSQL too: saying so here imports all that speaks to it
    ),
)

steps = Table(
    "steps",
    metadata,
    project(),
    key("run_id"),
    key_number("position"),
    name("name"),
    Column("state", short_text(12), nullable=False),
    number("started_at"),
    number("ended_at", null=True),
    number("seed"),
    value("outputs"),
    text("error"),
    number("index", null=True),
    digest("key"),
    digest("code"),
    value("inputs", null=True),
    value("result", null=True),
    value("effects", null=True),
    text("source"),
    text("note"),
    number("attempts", null=True),
    number("cpu", null=True),
    number("peak", null=True),
    Index("ix_steps_project_id_key", "project_id", "key"),
)

step_codes = Table(
    "step_codes",
    metadata,
    project(),
    key("digest", 64),
    value("parts"),
    value("libraries"),
)

metric_chunks = Table(
    "metric_chunks",
    metadata,
    project(),
    key("run_id"),
    key("key", 250),
    key_number("seq"),
    number("points"),
    Column("data", LargeBinary, nullable=False),
)

saved_views = Table(
    "saved_views",
    metadata,
    project(),
    key("name", 80),
    Column("page", short_text(12), nullable=False),
    text("query"),
    name("actor"),
    number("saved_at"),
)

artifacts = Table(
    "artifacts",
    metadata,
    project(),
    key("run_id", 34),  # or the id of a logged model: m- and 32 hex
    key("name", 250),
    Column("kind", short_text(40), nullable=False),
    digest("digest"),
    number("size"),
    number("created_at"),
)

experiments = Table(
    "experiments",
    metadata,
    project(),
    key_number("experiment_id"),
    Column("name", short_text(500), nullable=False),
    value("tags"),
    number("created_at"),
    number("updated_at"),
    number("deleted_at", null=True),
    UniqueConstraint("project_id", "name"),
)

logged_models = Table(
    "logged_models",
    metadata,
    project(),
    key("model_id", 34),
    number("experiment_id"),
    name("name"),
    Column("state", short_text(12), nullable=False),
    name("kind"),
    Column("run_id", short_text(32), nullable=False, default=""),
    number("created_at"),
    number("updated_at"),
    value("params"),
    value("tags"),
    value("metrics"),
    text("message"),
    number("deleted_at", null=True),
    Index("ix_logged_models_project_id_experiment_id", "project_id", "experiment_id"),
)

uses = Table(
    "uses",
    metadata,
    project(),
    key("run_id"),
    key("direction", 3),
    key("kind", 40),
    key("name", 200),
    key("digest", 64),
    number("version", null=True),
    value("columns", null=True),
    Index("ix_uses_project_id_digest", "project_id", "digest"),
)
