"""What alembic runs: it takes the open transaction it was given, and nothing else."""

from alembic import context

from thrive.store.tables.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
