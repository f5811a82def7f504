"""experiments and what mlflow clients keep."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward."""
    made = op.create_table(
        "experiments",
        sa.Column(
            "project_id",
            sa.String(length=32).with_variant(sa.String(length=32, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("experiment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "name",
            sa.String(length=500).with_variant(sa.String(length=500, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "experiment_id", name=op.f("pk_experiments")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_experiments_project_id_name")),
    )
    op.create_table(
        "logged_models",
        sa.Column(
            "project_id",
            sa.String(length=32).with_variant(sa.String(length=32, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "model_id",
            sa.String(length=34).with_variant(sa.String(length=34, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "name",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.String(length=12).with_variant(sa.String(length=12, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "run_id",
            sa.String(length=32).with_variant(sa.String(length=32, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("params", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("metrics", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "model_id", name=op.f("pk_logged_models")),
    )
    with op.batch_alter_table("logged_models", schema=None) as batch_op:
        batch_op.create_index(
            "ix_logged_models_project_id_experiment_id",
            ["project_id", "experiment_id"],
            unique=False,
        )

    with op.batch_alter_table("artifacts", schema=None) as batch_op:
        batch_op.alter_column(
            "run_id",
            existing_type=sa.VARCHAR(length=32),
            type_=sa.String(length=34).with_variant(
                sa.String(length=34, collation="C"), "postgresql"
            ),
            existing_nullable=False,
        )

    with op.batch_alter_table("model_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("source", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(
            sa.Column(
                "logged_model",
                sa.String(length=34).with_variant(
                    sa.String(length=34, collation="C"), "postgresql"
                ),
                server_default="",
                nullable=False,
            )
        )
        batch_op.add_column(sa.Column("tags", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("updated_at", sa.BigInteger(), nullable=True))
        batch_op.alter_column(
            "model",
            existing_type=sa.VARCHAR(length=64),
            type_=sa.String(length=256).with_variant(
                sa.String(length=256, collation="C"), "postgresql"
            ),
            existing_nullable=False,
        )

    with op.batch_alter_table("models", schema=None) as batch_op:
        batch_op.add_column(sa.Column("updated_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("tags", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("aliases", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("last_version", sa.BigInteger(), nullable=True))
        batch_op.alter_column(
            "name",
            existing_type=sa.VARCHAR(length=64),
            type_=sa.String(length=256).with_variant(
                sa.String(length=256, collation="C"), "postgresql"
            ),
            existing_nullable=False,
        )

    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("summaries", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("inputs", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("logged_models", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("deleted_at", sa.BigInteger(), nullable=True))
        batch_op.alter_column(
            "experiment",
            existing_type=sa.VARCHAR(length=200),
            type_=sa.String(length=500).with_variant(
                sa.String(length=500, collation="C"), "postgresql"
            ),
            existing_nullable=False,
        )
        batch_op.alter_column(
            "name",
            existing_type=sa.VARCHAR(length=200),
            type_=sa.String(length=500).with_variant(
                sa.String(length=500, collation="C"), "postgresql"
            ),
            existing_nullable=False,
        )

    _name_experiments(made)


def _name_experiments(made: sa.Table) -> None:
    """Give every experiment that runs name a row and a number, oldest first."""
    runs = sa.table(
        "runs", sa.column("project_id"), sa.column("experiment"), sa.column("started_at")
    )
    first = sa.func.min(runs.c.started_at)
    query = (
        sa.select(runs.c.project_id, runs.c.experiment, first, sa.func.max(runs.c.started_at))
        .group_by(runs.c.project_id, runs.c.experiment)
        .order_by(runs.c.project_id, first)
    )
    numbers: dict[str, int] = {}
    rows: list[dict[str, object]] = []
    for project_id, name, begun, last in op.get_bind().execute(query):
        numbers[project_id] = numbers.get(project_id, 0) + 1
        rows.append(
            {
                "project_id": project_id,
                "experiment_id": numbers[project_id],
                "name": name,
                "tags": {},
                "created_at": begun,
                "updated_at": last,
            }
        )
    if rows:
        op.bulk_insert(made, rows)
