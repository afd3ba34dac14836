"""Find what datasets and bundles were made from: who purges something asks who names it."""

import json
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ROWS = 2000


def upgrade() -> None:
    of_datasets = op.create_table(
        "dataset_parents",
        sa.Column("dataset_id", WORD, sa.ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("parent", WORD, primary_key=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    of_bundles = op.create_table(
        "bundle_parents",
        sa.Column("bundle", NUMBER, sa.ForeignKey("bundles.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("parent", WORD, primary_key=True),
        sqlite_with_rowid=False,
    )
    columns = "id AS owner, created, record"
    for owner, created, parents in _with_parents(f"SELECT {columns} FROM datasets WHERE id > :last", ""):
        rows = [{"dataset_id": owner, "parent": parent, "created": created} for parent in parents]
        op.bulk_insert(of_datasets, rows)
    columns = "number AS owner, 0, record"
    where = "deleted = 0 AND number > :last"
    for owner, _, parents in _with_parents(f"SELECT {columns} FROM bundles WHERE {where}", 0):
        op.bulk_insert(of_bundles, [{"bundle": owner, "parent": parent} for parent in parents])
    # after the rows, which is quicker
    op.create_index("ix_dataset_parents_parent", "dataset_parents", ["parent", "created", "dataset_id"])
    op.create_index("ix_bundle_parents_parent", "bundle_parents", ["parent", "bundle"])


def _with_parents(select: str, last: object) -> Iterator[tuple[object, int, list[str]]]:
    """Yield (owner, created, parents) of records that have any, some thousand at a time."""
    statement = sa.text(f"{select} AND record LIKE :some ORDER BY owner LIMIT :rows")
    connection = op.get_bind()
    while rows := connection.execute(
        statement, {"last": last, "some": '%"parents":["%', "rows": ROWS}
    ).fetchall():
        for owner, created, record in rows:
            parents = json.loads(record).get("parents") or []
            if parents:
                yield owner, created, sorted(set(parents))
        last = rows[-1][0]
