"""Bundles: versions of folders, and which contents each needs."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "bundles",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("name", WORD, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("deleted", sa.Integer, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ix_bundles_name", "bundles", ["name", "version"], unique=True)
    op.create_table(
        "bundle_files",
        sa.Column("bundle", NUMBER, sa.ForeignKey("bundles.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("digest", WORD, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_bundle_files_digest", "bundle_files", ["digest", "bundle"])
