"""What a project owes and how it answers: words, exceptions, documents."""

from sqlalchemy import Column, Index, Table

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

duty_answers = Table(
    "duty_answers",
    metadata,
    project(),
    key("model", 64),
    key_number("revision"),
    digest("digest"),
    value("fields"),
    value("risks"),
    Column("population", JSON_VALUE, nullable=False, server_default="{}"),
    text("commit"),
    name("actor"),
    number("at"),
)

duty_exceptions = Table(
    "duty_exceptions",
    metadata,
    project(),
    key("exception_id"),
    name("model"),
    name("duty"),
    name("role"),
    name("actor"),
    text("reason"),
    flag("own_work"),
    number("given_at"),
    number("expires_at"),
    number("revoked_at", null=True),
    Index("ix_duty_exceptions_project_id_model", "project_id", "model"),
)

documents = Table(
    "documents",
    metadata,
    project(),
    key("kind", 40),
    key("subject", 200),
    key("digest", 64),
    digest("html"),
    digest("markdown"),
    number("missing"),
    Column("release_id", short_text(32), nullable=False, default=""),
    name("actor"),
    number("at"),
)

incidents = Table(
    "incidents",
    metadata,
    project(),
    key("incident_id"),
    name("model"),
    number("version"),
    Column("kind", short_text(20), nullable=False),
    text("what"),
    name("actor"),
    number("aware_at"),
    number("opened_at"),
    number("due_at"),
    value("evidence"),
    number("reported_at", null=True),
    text("authority"),
    text("cause"),
    text("report"),
    name("reported_by"),
    Index("ix_incidents_project_id_model", "project_id", "model"),
)

drills = Table(
    "drills",
    metadata,
    project(),
    key("drill_id"),
    name("model"),
    name("actor"),
    number("at"),
    number("hosts"),
    number("took", null=True),
    text("words"),
    Index("ix_drills_project_id_model", "project_id", "model"),
)

audit_seals = Table(
    "audit_seals",
    metadata,
    project(),
    key_number("seq"),
    digest("digest"),
    number("at"),
    text("signature"),
    digest("signed_by"),
)

data_grants = Table(
    "data_grants",
    metadata,
    project(),
    key("grant_id"),
    name("dataset"),
    value("columns"),
    name("reader"),
    name("purpose"),
    text("reason"),
    name("actor"),
    number("given_at"),
    number("expires_at"),
    number("revoked_at", null=True),
    Index("ix_data_grants_project_id_dataset", "project_id", "dataset"),
)

data_reads = Table(
    "data_reads",
    metadata,
    project(),
    key("read_id"),
    name("dataset"),
    number("version"),
    value("columns"),
    value("pseudonymised"),
    name("reader"),
    name("purpose"),
    Column("grant_id", short_text(32), nullable=False, default=""),
    number("rows"),
    number("at"),
    Index("ix_data_reads_project_id_dataset", "project_id", "dataset"),
)

restrictions = Table(
    "restrictions",
    metadata,
    project(),
    key("restriction_id"),
    Column("kind", short_text(20), nullable=False),
    digest("person"),
    value("columns"),
    text("reason"),
    name("actor"),
    number("placed_at"),
    value("held"),
    value("digests"),
    number("rows"),
    text("asked"),
    digest("asked_key"),
    name("lifted_by"),
    text("lifted_for"),
    number("lifted_at", null=True),
)

explanation_trials = Table(
    "explanation_trials",
    metadata,
    project(),
    key("trial_id"),
    name("model"),
    number("version"),
    Column("prediction_id", short_text(32), nullable=False),
    number("at"),
    flag("reproduced"),
    text("words"),
    Index("ix_explanation_trials_project_id_model", "project_id", "model"),
)
