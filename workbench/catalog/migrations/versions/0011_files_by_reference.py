"""Find the entries of a file by reference: what several entries have is not deleted when one is moved."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    path = "json_extract(record, '$.path')" if is_sqlite else "(record::json ->> 'path')"
    op.execute(f"UPDATE entries SET file = 'at ' || {path} WHERE file = ''")
