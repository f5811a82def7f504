"""rows a model was trained on."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward."""
    with op.batch_alter_table("model_versions", schema=None) as batch_op:
        text = sa.String(length=64)
        kind = text.with_variant(sa.String(length=64, collation="C"), "postgresql")
        batch_op.add_column(sa.Column("trained_rows", kind, server_default="", nullable=False))
