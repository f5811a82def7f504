"""people left out, populations and explanations on trial."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def _text(length: int) -> sa.types.TypeEngine[str]:
    """Return a text type that is compared by its bytes on every database."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Bring the database one step forward."""
    op.create_table(
        "restrictions",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("restriction_id", _text(32), nullable=False),
        sa.Column("kind", _text(20), nullable=False),
        sa.Column("person", _text(64), server_default="", nullable=False),
        sa.Column("columns", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("digests", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("lifted_by", _text(200), nullable=False),
        sa.Column("lifted_for", sa.Text(), server_default="", nullable=False),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "restriction_id", name=op.f("pk_restrictions")),
    )
    op.create_table(
        "explanation_trials",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("trial_id", _text(32), nullable=False),
        sa.Column("model", _text(200), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("prediction_id", _text(32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reproduced", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("words", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("project_id", "trial_id", name=op.f("pk_explanation_trials")),
    )
    with op.batch_alter_table("explanation_trials", schema=None) as batch_op:
        batch_op.create_index(
            "ix_explanation_trials_project_id_model", ["project_id", "model"], unique=False
        )
    with op.batch_alter_table("duty_answers", schema=None) as batch_op:
        shares = sa.Column(
            "population", sa.JSON(none_as_null=True), server_default="{}", nullable=False
        )
        batch_op.add_column(shares)
