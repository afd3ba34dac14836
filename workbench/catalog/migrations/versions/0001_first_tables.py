"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", WORD, primary_key=True),
        sa.Column("name", WORD, nullable=False),
        sa.Column("schema_name", WORD, nullable=False),
        sa.Column("digest", WORD, nullable=False),
        sa.Column("run_id", WORD, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ix_datasets_created", "datasets", ["created", "id", "name"])
    op.create_index("ix_datasets_name", "datasets", ["name", "created", "id"])
    op.create_index("ix_datasets_schema", "datasets", ["schema_name", "created", "id"])
    op.create_index("ix_datasets_digest", "datasets", ["digest", "created", "id"])
    op.create_index("ix_datasets_run", "datasets", ["run_id", "created", "id"])
    op.create_table(
        "revisions",
        sa.Column("id", WORD, primary_key=True),
        sa.Column("name", WORD, nullable=False),
        sa.Column("major", sa.Integer, nullable=False),
        sa.Column("minor", sa.Integer, nullable=False),
        sa.Column("newest", sa.Integer, nullable=False),
        sa.Column("type", WORD, nullable=False),
        sa.Column("devices", WORD, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ix_revisions_created", "revisions", ["created", "id", "name"])
    op.create_index("ix_revisions_newest", "revisions", ["newest", "created", "id", "name"])
    op.create_index("ix_revisions_name", "revisions", ["name", "newest", "created", "id"])
    op.create_index(
        "ix_revisions_version", "revisions", ["name", "major", "minor", "created", "id", "newest"]
    )
    op.create_table(
        "aliases",
        sa.Column("name", WORD, primary_key=True),
        sa.Column("alias", WORD, primary_key=True),
        sa.Column("target", WORD, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("id", WORD, primary_key=True),
        sa.Column("status", WORD, nullable=False),
        sa.Column("algorithm", WORD, nullable=False),
        sa.Column("algorithm_name", WORD, nullable=False),
        sa.Column("revision", WORD, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("fraction", sa.Double, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ix_runs_created", "runs", ["created", "id"])
    op.create_index("ix_runs_status", "runs", ["status", "created", "id"])
    op.create_index("ix_runs_name", "runs", ["algorithm_name", "created", "id"])
    op.create_index("ix_runs_algorithm", "runs", ["algorithm", "created", "id"])
    op.create_index("ix_runs_revision", "runs", ["revision", "created", "id"])
    for name, owner, owner_column, value_column in (
        ("dataset_tags", "datasets", "dataset_id", "tag"),
        ("revision_tags", "revisions", "revision_id", "tag"),
        ("revision_files", "revisions", "revision_id", "digest"),
        ("run_tags", "runs", "run_id", "tag"),
        ("run_inputs", "runs", "run_id", "dataset_id"),
        ("run_outputs", "runs", "run_id", "dataset_id"),
    ):
        op.create_table(
            name,
            sa.Column(owner_column, WORD, sa.ForeignKey(f"{owner}.id", ondelete="CASCADE"), primary_key=True),
            sa.Column(value_column, WORD, primary_key=True),
            sa.Column("created", sa.BigInteger, nullable=False),
            sqlite_with_rowid=False,
        )
        op.create_index(f"ix_{name}_{value_column}", name, [value_column, "created", owner_column])
