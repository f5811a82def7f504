"""Schedules, and each time that one fired."""

from sqlalchemy import Column, Index, Table

from thrive.store.tables.columns import (
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

schedules = Table(
    "schedules",
    metadata,
    project(),
    key("name", 200),
    text("target"),
    value("triggers"),
    value("code"),
    name("actor"),
    number("created_at"),
    value("params"),
    name("experiment"),
    name("zone"),
    Column("missed", short_text(12), nullable=False),
    number("debounce"),
    number("budget"),
    number("budget_window"),
    number("next_at", null=True),
    value("seen"),
    value("pending", null=True),
    flag("paused"),
    number("revision"),
)

firings = Table(
    "firings",
    metadata,
    project(),
    key("firing_id"),
    name("schedule"),
    text("cause"),
    number("fired_at"),
    flag("by_hand"),
    Column("job_id", short_text(32), nullable=False),
    Column("run_id", short_text(32), nullable=False),
    Index("ix_firings_project_id_schedule_fired_at", "project_id", "schedule", "fired_at"),
)
