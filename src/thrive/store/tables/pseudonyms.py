"""The key of a project's pseudonyms: read by commands that need nothing else of governance."""

from sqlalchemy import Column, Table

from thrive.store.tables.columns import digest, metadata, name, number, project, short_text

pseudonym_keys = Table(
    "pseudonym_keys",
    metadata,
    project(),
    digest("fingerprint"),
    Column("key", short_text(64), nullable=False, default=""),
    name("host"),
    name("actor"),
    number("made_at"),
)
