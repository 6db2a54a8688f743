"""Alembic's entry: runs the steps on the connection and in the transaction that ``moorage.store.migrate`` holds."""

from __future__ import annotations

from alembic import context

from moorage.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table by copying it.
    render_as_batch=True,
)
context.run_migrations()
