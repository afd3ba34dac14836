"""Find the run that computed a result; runs of before have no key and are computed again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("runs", sa.Column("reuse_key", WORD, nullable=False, server_default=""))
    op.create_index("ix_runs_reuse_key", "runs", ["reuse_key", "created", "id"])
