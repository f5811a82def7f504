"""sessions and parts of uploads."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _text(length: int) -> sa.types.TypeEngine[str]:
    """Return a text type that is compared by its bytes on every database."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Bring the database one step forward."""
    op.create_table(
        "sessions",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("session", _text(64), nullable=False),
        sa.Column("token_id", _text(32), server_default="", nullable=False),
        sa.Column("server", _text(64), server_default="", nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "session", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_session", "sessions", ["session"])
    op.create_table(
        "upload_parts",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("digest", _text(64), nullable=False),
        sa.Column("first_byte", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("part", _text(64), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "digest", "first_byte", name=op.f("pk_upload_parts")),
    )
