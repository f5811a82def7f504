"""versions name their list of files."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step forward: the list of files is a blob, its length a column."""
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("file_count", sa.BigInteger(), nullable=False, server_default="0")
        )
        batch_op.add_column(
            sa.Column(
                "manifest",
                sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql"),
                nullable=False,
                server_default="",
            )
        )
    _count_files()
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.drop_column("files")


def _count_files() -> None:
    versions = sa.table(
        "dataset_versions",
        *(sa.column(name) for name in ("project_id", "dataset", "version", "files", "file_count")),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(versions)).all():
        files = json.loads(row.files) if isinstance(row.files, str) else row.files
        connection.execute(
            sa.update(versions)
            .where(
                versions.c.project_id == row.project_id,
                versions.c.dataset == row.dataset,
                versions.c.version == row.version,
            )
            .values(file_count=len(files))
        )
