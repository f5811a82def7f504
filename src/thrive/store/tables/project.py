"""Projects and what every project has: changes, audit chain, jobs, contracts, references."""

from sqlalchemy import Column, Float, Index, Table, UniqueConstraint

from thrive.store.tables.columns import (
    COUNTER,
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

projects = Table(
    "projects",
    metadata,
    project(),
    name("name"),
    Column("clock_mode", short_text(8), nullable=False),
    number("replay_now"),
    number("created_at"),
    UniqueConstraint("name"),
)

changes = Table(
    "changes",
    metadata,
    Column("seq", COUNTER, primary_key=True, autoincrement=True),
    Column("project_id", short_text(32), nullable=False),
    Column("kind", short_text(40), nullable=False),
    Column("id", short_text(300), nullable=False),
    Index("ix_changes_project_id_seq", "project_id", "seq"),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    project(),
    key_number("seq"),
    number("at"),
    name("actor"),
    name("operation"),
    name("subject"),
    value("detail"),
    digest("previous"),
    digest("digest"),
)

audit_heads = Table("audit_heads", metadata, project(), number("seq"), digest("digest"))

jobs = Table(
    "jobs",
    metadata,
    project(),
    key("job_id"),
    name("operation"),
    value("arguments"),
    Column("state", short_text(12), nullable=False),
    name("actor"),
    number("run_at"),
    number("created_at"),
    number("lease_until"),
    number("fence"),
    number("attempt"),
    number("max_attempts"),
    Column("dedupe_key", short_text(200), nullable=True),
    Column("progress", Float, nullable=False),
    text("message"),
    value("result", null=True),
    text("error"),
    text("error_code"),
    number("finished_at", null=True),
    UniqueConstraint("project_id", "dedupe_key"),
    Index("ix_jobs_project_id_state_run_at", "project_id", "state", "run_at"),
)

transcripts = Table(
    "transcripts",
    metadata,
    project(),
    key("job_id"),
    key_number("seq"),
    number("at"),
    text("text"),
)

leases = Table(
    "leases",
    metadata,
    project(),
    key("name", 100),
    name("owner"),
    number("fence"),
    number("until"),
)

contracts = Table(
    "contracts",
    metadata,
    project(),
    key("digest", 64),
    text("text"),
    text("commit"),
    number("stored_at"),
)

team_contacts = Table(
    "team_contacts",
    metadata,
    project(),
    key("team", 64),
    key("channel", 300),
    number("arrived_at"),
)

tokens = Table(
    "tokens",
    metadata,
    project(),
    key("token_id"),
    name("name"),
    value("roles"),
    digest("digest"),
    number("created_at"),
    number("expires_at", null=True),
    number("revoked_at", null=True),
    Index("ix_tokens_token_id", "token_id"),
)

sessions = Table(
    "sessions",
    metadata,
    project(),
    key("session", 64),
    Column("token_id", short_text(32), nullable=False, default="", server_default=""),
    digest("server"),
    number("until"),
    value("actor", null=True),
    Index("ix_sessions_session", "session"),
)

webhooks = Table(
    "webhooks",
    metadata,
    project(),
    key("webhook_id"),
    name("name"),
    text("description"),
    text("url"),
    value("events"),
    text("secret"),
    flag("active"),
    number("created_at"),
    number("updated_at"),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    project(),
    key("digest", 64),
    key_number("first_byte"),
    number("bytes"),
    digest("part"),
    number("at"),
)

blob_references = Table(
    "blob_references",
    metadata,
    project(),
    key("digest", 64),
    key("kind", 40),
    key("id", 300),
    Index("ix_blob_references_digest", "digest"),
)
