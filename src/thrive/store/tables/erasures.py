"""Erasures of people, and tombstones of the content that held them."""

from sqlalchemy import Column, Index, Table

from thrive.store.tables.columns import (
    digest,
    key,
    metadata,
    name,
    number,
    project,
    short_text,
    text,
    value,
)

erasures = Table(
    "erasures",
    metadata,
    project(),
    key("erasure_id"),
    Column("state", short_text(12), nullable=False),
    text("reason"),
    text("legal_basis"),
    name("actor"),
    text("salt"),
    digest("person"),
    value("scope"),
    value("counts"),
    value("removed"),
    value("left"),
    digest("proof"),
    value("consent", null=True),
    number("started_at"),
    number("ended_at", null=True),
)

tombstones = Table(
    "tombstones",
    metadata,
    project(),
    key("digest", 64),
    Column("kind", short_text(40), nullable=False),
    Column("subject", short_text(300), nullable=False),
    digest("replaced_by"),
    Column("erasure_id", short_text(32), nullable=False),
    number("erased_at"),
    text("reason"),
    Index("ix_tombstones_project_id_replaced_by", "project_id", "replaced_by"),
)
