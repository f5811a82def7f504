"""runs of an experiment in the order of their ids."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward."""
    op.drop_index("ix_runs_project_id_experiment_started_at", table_name="runs")
    op.drop_index("ix_runs_project_id_started_at", table_name="runs")
    op.create_index(
        "ix_runs_project_id_experiment_run_id", "runs", ["project_id", "experiment", "run_id"]
    )
