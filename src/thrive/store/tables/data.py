"""Datasets and their versions."""

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

datasets = Table(
    "datasets",
    metadata,
    project(),
    key("name", 64),
    name("owner"),
    text("why"),
    number("created_at"),
)

dataset_versions = Table(
    "dataset_versions",
    metadata,
    project(),
    key("dataset", 64),
    key_number("version"),
    digest("digest"),
    text("source"),
    number("file_count"),
    number("rows"),
    number("size"),
    value("columns"),
    number("created_at"),
    name("actor"),
    value("profile"),
    value("checks"),
    flag("trainable"),
    Column("made_by", short_text(32), nullable=True),
    flag("replay"),
    digest("manifest"),
    Index("ix_dataset_versions_project_id_digest", "project_id", "digest"),
)

dataset_tags = Table(
    "dataset_tags",
    metadata,
    project(),
    key("dataset", 64),
    key("tag", 64),
    number("version"),
    name("actor"),
    number("at"),
)

column_labels = Table(
    "column_labels",
    metadata,
    project(),
    key("dataset", 64),
    key("name", 250),
    key("dtype", 200),
    name("kind"),
    name("actor"),
    number("at"),
    text("reason"),
)

source_states = Table(
    "source_states",
    metadata,
    project(),
    key("dataset", 64),
    text("source"),
    number("read_at"),
    text("mark"),
    text("problem"),
)
