"""Find entries by the size of their file, by the time when they were added, and by long texts, which are kept shortened."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for name in ("size", "created"):
        op.add_column("entries", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    if op.get_bind().dialect.name == "sqlite":
        time = "json_extract(record, '$.created')"
        fraction = (
            f"CASE WHEN substr({time}, 20, 1) = '.' THEN CAST(substr({time}, 21, 6) AS INTEGER) ELSE 0 END"
        )
        micros = f"strftime('%s', {time}) * 1000000 + {fraction}"
        size = "json_extract(record, '$.size')"
    else:
        micros = "(EXTRACT(EPOCH FROM (record::json ->> 'created')::timestamptz) * 1000000)::bigint"
        size = "(record::json ->> 'size')::bigint"
    op.execute(f"UPDATE entries SET size = {size}, created = {micros}")
    # after the rows, which is quicker
    for name in ("size", "created"):
        op.create_index(f"ix_entries_{name}", "entries", ["scope", "trashed", name, "number"])
    connection = op.get_bind()
    long = sa.text("SELECT entry, key, text FROM entry_values WHERE length(text) > 400")
    short = sa.text("UPDATE entry_values SET text = :text WHERE entry = :entry AND key = :key")
    for entry, key, text in connection.execute(long).fetchall():
        kept = f"{text[:400]}…{hashlib.sha256(text.encode()).hexdigest()}"
        connection.execute(short, {"entry": entry, "key": key, "text": kept})
