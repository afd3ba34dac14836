"""A catalog notes which workspace it was filled from; of an older one it is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    word = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    made = op.create_table(
        "catalog_workspace",
        sa.Column("id", word, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
    )
    op.execute(sa.insert(made).values(id="", url=""))
