"""Registered models and their versions."""

from sqlalchemy import Table

from thrive.store.tables.columns import (
    digest,
    flag,
    key,
    key_number,
    metadata,
    name,
    number,
    project,
    text,
    value,
)

models = Table(
    "models",
    metadata,
    project(),
    key("name", 64),
    name("owner"),
    text("purpose"),
    number("created_at"),
)

model_versions = Table(
    "model_versions",
    metadata,
    project(),
    key("model", 64),
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
    value("importance"),
    value("features", null=True),
    text("note"),
    number("retired_at", null=True),
    flag("replay"),
)
