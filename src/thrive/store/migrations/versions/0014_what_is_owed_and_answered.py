"""what is owed and answered."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def _text(length: int) -> sa.types.TypeEngine[str]:
    """Return a text type that is compared by its bytes on every database."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Bring the database one step forward."""
    _seals_and_grants()
    _documents_and_answers()
    _incidents_holds_and_reviews()


def _seals_and_grants() -> None:
    op.create_table(
        "audit_seals",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", _text(64), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.Text(), server_default="", nullable=False),
        sa.Column("signed_by", _text(64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("project_id", "seq", name=op.f("pk_audit_seals")),
    )
    op.create_table(
        "data_grants",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("grant_id", _text(32), nullable=False),
        sa.Column("dataset", _text(200), nullable=False),
        sa.Column("columns", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reader", _text(200), nullable=False),
        sa.Column("purpose", _text(200), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "grant_id", name=op.f("pk_data_grants")),
    )
    with op.batch_alter_table("data_grants", schema=None) as batch_op:
        batch_op.create_index(
            "ix_data_grants_project_id_dataset", ["project_id", "dataset"], unique=False
        )

    op.create_table(
        "data_reads",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("read_id", _text(32), nullable=False),
        sa.Column("dataset", _text(200), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("pseudonymised", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reader", _text(200), nullable=False),
        sa.Column("purpose", _text(200), nullable=False),
        sa.Column("grant_id", _text(32), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "read_id", name=op.f("pk_data_reads")),
    )
    with op.batch_alter_table("data_reads", schema=None) as batch_op:
        batch_op.create_index(
            "ix_data_reads_project_id_dataset", ["project_id", "dataset"], unique=False
        )


def _documents_and_answers() -> None:
    op.create_table(
        "documents",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("kind", _text(40), nullable=False),
        sa.Column("subject", _text(200), nullable=False),
        sa.Column("digest", _text(64), nullable=False),
        sa.Column("html", _text(64), server_default="", nullable=False),
        sa.Column("markdown", _text(64), server_default="", nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("release_id", _text(32), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "project_id", "kind", "subject", "digest", name=op.f("pk_documents")
        ),
    )
    op.create_table(
        "drills",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("drill_id", _text(32), nullable=False),
        sa.Column("model", _text(200), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("hosts", sa.BigInteger(), nullable=False),
        sa.Column("took", sa.BigInteger(), nullable=True),
        sa.Column("words", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("project_id", "drill_id", name=op.f("pk_drills")),
    )
    with op.batch_alter_table("drills", schema=None) as batch_op:
        batch_op.create_index("ix_drills_project_id_model", ["project_id", "model"], unique=False)

    op.create_table(
        "duty_answers",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("model", _text(64), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", _text(64), server_default="", nullable=False),
        sa.Column("fields", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("risks", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("commit", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "model", "revision", name=op.f("pk_duty_answers")),
    )
    op.create_table(
        "duty_exceptions",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("exception_id", _text(32), nullable=False),
        sa.Column("model", _text(200), nullable=False),
        sa.Column("duty", _text(200), nullable=False),
        sa.Column("role", _text(200), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("own_work", sa.Boolean(), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "exception_id", name=op.f("pk_duty_exceptions")),
    )
    with op.batch_alter_table("duty_exceptions", schema=None) as batch_op:
        batch_op.create_index(
            "ix_duty_exceptions_project_id_model", ["project_id", "model"], unique=False
        )


def _incidents_holds_and_reviews() -> None:
    op.create_table(
        "incidents",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("incident_id", _text(32), nullable=False),
        sa.Column("model", _text(200), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", _text(20), nullable=False),
        sa.Column("what", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("aware_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("evidence", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=True),
        sa.Column("authority", sa.Text(), server_default="", nullable=False),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        sa.Column("report", sa.Text(), server_default="", nullable=False),
        sa.Column("reported_by", _text(200), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "incident_id", name=op.f("pk_incidents")),
    )
    with op.batch_alter_table("incidents", schema=None) as batch_op:
        batch_op.create_index(
            "ix_incidents_project_id_model", ["project_id", "model"], unique=False
        )

    op.create_table(
        "legal_holds",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("hold_id", _text(32), nullable=False),
        sa.Column("subject", _text(200), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("lifted_by", _text(200), nullable=False),
        sa.Column("lifted_for", sa.Text(), server_default="", nullable=False),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "hold_id", name=op.f("pk_legal_holds")),
    )
    with op.batch_alter_table("legal_holds", schema=None) as batch_op:
        batch_op.create_index(
            "ix_legal_holds_project_id_subject", ["project_id", "subject"], unique=False
        )

    op.create_table(
        "reviews",
        sa.Column("project_id", _text(32), nullable=False),
        sa.Column("prediction_id", _text(32), nullable=False),
        sa.Column("model", _text(200), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("asked_by", _text(200), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("decision", _text(10), nullable=False),
        sa.Column("value", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("reviewer", _text(200), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "prediction_id", name=op.f("pk_reviews")),
    )
    with op.batch_alter_table("reviews", schema=None) as batch_op:
        batch_op.create_index("ix_reviews_project_id_model", ["project_id", "model"], unique=False)
