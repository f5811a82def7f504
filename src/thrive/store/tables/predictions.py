"""Sealed prediction logs, the outcomes that answer them, answers that people look at again."""

from sqlalchemy import Column, Index, Table

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

sealed_logs = Table(
    "sealed_logs",
    metadata,
    project(),
    key("host", 100),
    key_number("worker"),
    key_number("segment"),
    key_number("from_offset"),
    number("to_offset"),
    digest("digest"),
    number("rows"),
    number("min_time"),
    number("max_time"),
    number("sealed_at"),
    number("dropped"),
    name("first_id"),
    name("last_id"),
    flag("final"),
    Index("ix_sealed_logs_project_id_max_time", "project_id", "max_time"),
)

log_ends = Table(
    "log_ends",
    metadata,
    project(),
    key("model", 64),
    number("until"),
    number("looked_until"),
    number("looked_at"),
    number("rows"),
    number("outcomes"),
    value("versions"),
)

parked_outcomes = Table(
    "parked_outcomes",
    metadata,
    project(),
    key("parked_id"),
    name("model"),
    value("entity"),
    number("at"),
    number("within"),
    value("value", null=True),
    number("observed_at"),
    number("recorded_at"),
    number("tried_at"),
    name("source"),
    number("revision"),
    text("reason"),
    Index("ix_parked_outcomes_project_id_recorded_at", "project_id", "recorded_at"),
)

outcomes = Table(
    "outcomes",
    metadata,
    project(),
    key("prediction_id"),
    key("source", 64),
    key_number("revision"),
    value("value", null=True),
    number("observed_at"),
    number("recorded_at"),
    text("reason"),
    Index("ix_outcomes_project_id_recorded_at", "project_id", "recorded_at"),
)

reviews = Table(
    "reviews",
    metadata,
    project(),
    key("prediction_id"),
    name("model"),
    number("version"),
    text("why"),
    name("asked_by"),
    number("asked_at"),
    Column("decision", short_text(10), nullable=False, default=""),
    value("value", null=True),
    text("reason"),
    name("reviewer"),
    number("decided_at", null=True),
    Index("ix_reviews_project_id_model", "project_id", "model"),
)
