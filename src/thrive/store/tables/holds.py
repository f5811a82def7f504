"""What is held back from erasure, apart from governance: each reading of data asks for it."""

from sqlalchemy import Index, Table

from thrive.store.tables.columns import key, metadata, name, number, project, text

legal_holds = Table(
    "legal_holds",
    metadata,
    project(),
    key("hold_id"),
    name("subject"),
    text("reason"),
    name("actor"),
    number("placed_at"),
    name("lifted_by"),
    text("lifted_for"),
    number("lifted_at", null=True),
    Index("ix_legal_holds_project_id_subject", "project_id", "subject"),
)
