"""Experiments, and what MLflow clients keep."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward."""
    made = _create_experiments()
    _create_logged_models()
    _widen_models()
    _widen_runs()
    _name_experiments(made)


def _text(length: int) -> sa.types.TypeEngine[str]:
    """Return the type of names: compared by their bytes on either database."""
    ordered = sa.String(length=length, collation="C")
    return sa.String(length=length).with_variant(ordered, "postgresql")


def _create_experiments() -> sa.Table:
    return op.create_table(
        "experiments",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", _text(500), nullable=False),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "experiment_id", name=op.f("pk_experiments")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_experiments_project_id_name")),
    )


def _create_logged_models() -> None:
    op.create_table(
        "logged_models",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("model_id", _text(34), nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("name", _text(200), nullable=False),
        sa.Column("state", _text(12), nullable=False),
        sa.Column("kind", _text(200), nullable=False),
        sa.Column("run_id", _text(32), nullable=False),
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


def _widen_models() -> None:
    with op.batch_alter_table("model_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("source", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(
            sa.Column(
                "logged_model",
                _text(34),
                server_default="",
                nullable=False,
            )
        )
        batch_op.add_column(sa.Column("tags", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("updated_at", sa.BigInteger(), nullable=True))
        batch_op.alter_column(
            "model",
            existing_type=sa.VARCHAR(length=64),
            type_=_text(256),
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
            type_=_text(256),
            existing_nullable=False,
        )


def _widen_runs() -> None:
    with op.batch_alter_table("artifacts", schema=None) as batch_op:
        batch_op.alter_column(
            "run_id",
            existing_type=sa.VARCHAR(length=32),
            type_=_text(34),
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
            type_=_text(500),
            existing_nullable=False,
        )
        batch_op.alter_column(
            "name",
            existing_type=sa.VARCHAR(length=200),
            type_=_text(500),
            existing_nullable=False,
        )


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
