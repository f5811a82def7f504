"""verdicts are signed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward."""
    with op.batch_alter_table("verdicts", schema=None) as batch_op:
        for name in ("measured", "signed_by"):
            text = sa.String(length=64)
            kind = text.with_variant(sa.String(length=64, collation="C"), "postgresql")
            batch_op.add_column(sa.Column(name, kind, server_default="", nullable=False))
        batch_op.add_column(sa.Column("signature", sa.Text(), server_default="", nullable=False))
