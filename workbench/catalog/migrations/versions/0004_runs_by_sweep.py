"""Find the runs of a sweep; runs of before belong to none."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("runs", sa.Column("sweep", WORD, nullable=False, server_default=""))
    op.create_index("ix_runs_sweep", "runs", ["sweep", "created", "id"])
