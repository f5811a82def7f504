"""the key of a project's pseudonyms."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward."""

    def text(length: int) -> sa.types.TypeEngine[str]:
        plain = sa.String(length=length)
        return plain.with_variant(sa.String(length=length, collation="C"), "postgresql")

    op.create_table(
        "pseudonym_keys",
        sa.Column("project_id", text(32), nullable=False),
        sa.Column("fingerprint", text(64), server_default="", nullable=False),
        sa.Column("key", text(64), nullable=False),
        sa.Column("host", text(200), nullable=False),
        sa.Column("actor", text(200), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_pseudonym_keys")),
    )
