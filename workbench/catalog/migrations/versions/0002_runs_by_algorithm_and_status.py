"""Index the runs of one algorithm by status; revisions need no index by time alone."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("ix_runs_name_status", "runs", ["algorithm_name", "status", "created", "id"])
    op.create_index("ix_runs_algorithm_status", "runs", ["algorithm", "status", "created", "id"])
    op.drop_index("ix_revisions_created", "revisions")
