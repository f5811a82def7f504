"""Verdicts and approvals."""

from sqlalchemy import Column, Index, Table

from thrive.store.tables.columns import (
    digest,
    flag,
    key,
    metadata,
    name,
    number,
    project,
    short_text,
    text,
    value,
)

verdicts = Table(
    "verdicts",
    metadata,
    project(),
    key("verdict_id"),
    name("model"),
    number("version"),
    number("against", null=True),
    name("baseline"),
    Column("answer", short_text(12), nullable=False),
    value("results"),
    digest("candidate"),
    digest("production"),
    digest("test_data"),
    digest("contract"),
    digest("record"),
    digest("measured"),
    text("signature"),
    digest("signed_by"),
    number("created_at"),
    name("actor"),
    flag("replay"),
    Index("ix_verdicts_project_id_model_version", "project_id", "model", "version"),
)

approvals = Table(
    "approvals",
    metadata,
    project(),
    key("approval_id"),
    name("model"),
    number("version"),
    name("step"),
    name("actor"),
    text("reason"),
    number("given_at"),
    Index("ix_approvals_project_id_model_version", "project_id", "model", "version"),
)
