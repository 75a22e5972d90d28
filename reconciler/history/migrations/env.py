"""Runs migrations in the transaction that `reconciler.history.migrate` opened."""

from alembic import context

from reconciler.history.schema import metadata

# The transaction is ours, so all migrations are kept or none is: Alembic leaves alone
# what is open, and our driver does not commit before a change of the schema.
context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata
)
context.run_migrations()
