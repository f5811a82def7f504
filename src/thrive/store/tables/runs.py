"""Runs, their steps, metrics, artifacts and lineage."""

from sqlalchemy import Column, Index, LargeBinary, Table

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

runs = Table(
    "runs",
    metadata,
    project(),
    key("run_id"),
    name("experiment"),
    name("name"),
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
    Index("ix_runs_project_id_started_at", "project_id", "started_at"),
    Index("ix_runs_project_id_experiment_started_at", "project_id", "experiment", "started_at"),
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

artifacts = Table(
    "artifacts",
    metadata,
    project(),
    key("run_id"),
    key("name", 250),
    Column("kind", short_text(40), nullable=False),
    digest("digest"),
    number("size"),
    number("created_at"),
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
