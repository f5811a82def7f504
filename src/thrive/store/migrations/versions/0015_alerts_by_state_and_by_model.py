"""alerts by state and by model."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward."""
    op.drop_index("ix_alerts_project_id_state_opened_at", "alerts")
    op.create_index(
        "ix_alerts_project_id_model_alert_id", "alerts", ["project_id", "model", "alert_id"]
    )
    op.create_index(
        "ix_alerts_project_id_model_state", "alerts", ["project_id", "model", "state", "alert_id"]
    )
    op.create_index(
        "ix_alerts_project_id_state_alert_id", "alerts", ["project_id", "state", "alert_id"]
    )
