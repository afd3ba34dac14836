"""Find entries by the name of their file; on SQLite the index of numbers does without texts, and that of texts without numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("ix_entries_name", "entries", ["scope", "trashed", "name", "number"])
    if op.get_bind().dialect.name != "sqlite":
        return
    for column in ("value", "text"):
        op.drop_index(f"ix_entry_values_{column}", "entry_values")
        op.create_index(
            f"ix_entry_values_{column}",
            "entry_values",
            ["scope", "key", column, "entry"],
            sqlite_where=sa.text(f"{column} IS NOT NULL"),
        )
