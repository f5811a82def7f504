"""running runs are found without the others."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward."""
    running = sa.text("state = 'running'")
    op.create_index(
        "ix_runs_running",
        "runs",
        ["project_id", "state", "run_id", "process"],
        sqlite_where=running,
        postgresql_where=running,
    )
