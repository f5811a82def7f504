"""Registered models and their versions."""

from sqlalchemy import Column, Table

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

models = Table(
    "models",
    metadata,
    project(),
    key("name", 256),
    name("owner"),
    text("purpose"),
    number("created_at"),
    number("updated_at", null=True),
    value("tags", null=True),
    value("aliases", null=True),
    number("last_version", null=True),
    value("protected", null=True),
)

model_versions = Table(
    "model_versions",
    metadata,
    project(),
    key("model", 256),
    key_number("version"),
    digest("package"),
    value("signature"),
    value("metrics"),
    name("run_id"),
    digest("contract"),
    text("commit"),
    flag("dirty"),
    number("created_at"),
    name("actor"),
    value("training"),
    digest("evaluation"),
    digest("reference"),
    digest("trained_rows"),
    value("importance"),
    value("features", null=True),
    text("note"),
    number("retired_at", null=True),
    flag("replay"),
    text("source"),
    Column("logged_model", short_text(34), nullable=False, default="", server_default=""),
    value("tags", null=True),
    number("updated_at", null=True),
    value("seal", null=True),
)
