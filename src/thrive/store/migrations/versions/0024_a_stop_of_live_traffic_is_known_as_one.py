"""a stop of live traffic is known as one."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward."""
    with op.batch_alter_table("routing", schema=None) as batch_op:
        stopped = sa.Column("stopped", sa.Boolean(), server_default=sa.false(), nullable=False)
        batch_op.add_column(stopped)
