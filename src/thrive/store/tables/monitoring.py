"""Windows, alerts and decisions."""

from sqlalchemy import Boolean, Column, Index, Table

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

windows = Table(
    "windows",
    metadata,
    project(),
    key("model", 64),
    key_number("version"),
    key_number("start"),
    key_number("revision"),
    number("end"),
    number("rows"),
    number("outcomes"),
    value("findings"),
    digest("sketches"),
    number("closed_at"),
    flag("replay"),
)

alerts = Table(
    "alerts",
    metadata,
    project(),
    key("alert_id"),
    name("model"),
    number("version"),
    Column("cause", short_text(20), nullable=False),
    Column("level", short_text(8), nullable=False),
    Column("state", short_text(10), nullable=False),
    text("title"),
    name("owner"),
    name("deputy"),
    number("opened_at"),
    number("deadline"),
    value("evidence"),
    value("proposed"),
    name("recommended"),
    Column("default_action", short_text(20), nullable=True),
    number("first_bad", null=True),
    number("last_bad", null=True),
    number("closed_at", null=True),
    text("closing"),
    flag("replay"),
    Index("ix_alerts_project_id_state_alert_id", "project_id", "state", "alert_id"),
    Index("ix_alerts_project_id_model_alert_id", "project_id", "model", "alert_id"),
    Index("ix_alerts_project_id_model_state", "project_id", "model", "state", "alert_id"),
)

decisions = Table(
    "decisions",
    metadata,
    project(),
    key("decision_id"),
    name("alert_id"),
    Column("action", short_text(20), nullable=False),
    name("actor"),
    text("reason"),
    number("decided_at"),
    Column("state", short_text(12), nullable=False),
    value("result"),
    Column("worked", Boolean, nullable=True),
    Index("ix_decisions_project_id_alert_id", "project_id", "alert_id"),
)
