"""Releases, the history of the routing table, and the serving hosts that follow it."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, false

from thrive.store.tables.columns import (
    JSON_VALUE,
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

releases = Table(
    "releases",
    metadata,
    project(),
    key("release_id"),
    name("model"),
    number("candidate"),
    number("production", null=True),
    value("phases"),
    number("position"),
    Column("state", short_text(12), nullable=False),
    number("phase_started_at"),
    number("started_at"),
    name("actor"),
    name("verdict"),
    digest("contract"),
    value("evidence"),
    text("reason"),
    number("ended_at", null=True),
    flag("replay"),
    Index("ix_releases_project_id_model_started_at", "project_id", "model", "started_at"),
)

routing = Table(
    "routing",
    metadata,
    project(),
    key("model", 64),
    key_number("revision"),
    value("variants"),
    value("fallback", null=True),
    name("salt"),
    number("at"),
    text("reason"),
    name("actor"),
    Column("release_id", short_text(32), nullable=True),
    Column("stopped", Boolean, nullable=False, server_default=false()),
)

serving_hosts = Table(
    "serving_hosts",
    metadata,
    project(),
    key("agent_id"),
    name("host"),
    name("url"),
    number("revision"),
    number("seen_at"),
    number("answered"),
    number("failed"),
    number("dropped"),
    Column("consumers", JSON_VALUE, nullable=False, default=list, server_default="[]"),
    Column("unregistered", BigInteger, nullable=False, default=0, server_default="0"),
)
