"""Steps: versions of code, and which of them worked together."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "steps",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ix_steps_name", "steps", ["kind", "name"], unique=True)
    op.create_table(
        "step_versions",
        sa.Column("step", sa.Integer, sa.ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("major", sa.Integer, primary_key=True),
        sa.Column("minor", sa.Integer, primary_key=True),
        sa.Column("patch", sa.Integer, primary_key=True),
        sa.Column("digest", WORD, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_step_versions_digest", "step_versions", ["step", "digest"])
    op.create_table(
        "step_links",
        sa.Column("downstream", sa.Integer, sa.ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("upstream", sa.Integer, sa.ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("major", sa.Integer, primary_key=True),
        sa.Column("minor", sa.Integer, primary_key=True),
        sa.Column("patch", sa.Integer, primary_key=True),
        sa.Column("down_major", sa.Integer, primary_key=True),
        sa.Column("down_minor", sa.Integer, primary_key=True),
        sa.Column("down_patch", sa.Integer, primary_key=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_step_links_upstream", "step_links", ["upstream", "major", "minor", "patch", "downstream"]
    )
