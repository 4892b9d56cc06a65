"""What Alembic runs around the migrations; called by `upgrade` and by `alembic revision`."""

from __future__ import annotations

from alembic import context

from moderation.decision_log.tables import metadata

# In the transaction of the caller, which holds the lock and commits.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    # SQLite cannot change a column in place, so Alembic copies the table.
    render_as_batch=True,
)
context.run_migrations()
