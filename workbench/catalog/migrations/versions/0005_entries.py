"""Entries: versioned files of domains, with their metadata."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "entry_scopes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("application", WORD, nullable=False),
        sa.Column("domain", WORD, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
    )
    op.create_index("ix_entry_scopes_names", "entry_scopes", ["application", "domain", "kind"], unique=True)
    op.create_table(
        "entries",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("id", WORD, nullable=False),
        sa.Column("scope", sa.Integer, sa.ForeignKey("entry_scopes.id"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("file", WORD, nullable=False),
        sa.Column("trashed", sa.Integer, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ix_entries_id", "entries", ["id"], unique=True)
    op.create_index("ix_entries_scope", "entries", ["scope", "trashed", "number"])
    op.create_index("ix_entries_version", "entries", ["scope", "trashed", "version", "number"])
    op.create_index("ix_entries_file", "entries", ["file"])
    op.create_table(
        "entry_values",
        sa.Column("entry", NUMBER, sa.ForeignKey("entries.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("key", WORD, primary_key=True),
        sa.Column("scope", sa.Integer, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("text", WORD),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_entry_values_value", "entry_values", ["scope", "key", "value", "entry"])
    op.create_index("ix_entry_values_text", "entry_values", ["scope", "key", "text", "entry"])
    op.create_table(
        "entry_parents",
        sa.Column("entry", NUMBER, sa.ForeignKey("entries.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("parent", WORD, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_entry_parents_parent", "entry_parents", ["parent", "entry"])
