"""late views are told once."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward."""
    with op.batch_alter_table("materializations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("told_late", sa.BigInteger(), nullable=True))
