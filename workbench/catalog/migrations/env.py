"""Alembic's entry: runs the steps on the connection that ``schema.prepare`` gives, inside its transaction."""

from alembic import context

from workbench.catalog.tables import metadata
from workbench.catalog.version import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
