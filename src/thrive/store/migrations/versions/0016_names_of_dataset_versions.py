"""Names of dataset versions."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def _text(length: int) -> sa.types.TypeEngine[str]:
    """Return a text type that is compared by its bytes on every database."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Bring the database one step forward."""
    op.create_table(
        "dataset_tags",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("dataset", _text(64), nullable=False),
        sa.Column("tag", _text(64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "dataset", "tag", name=op.f("pk_dataset_tags")),
    )
