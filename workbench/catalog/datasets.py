"""Datasets in the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from workbench.catalog.engine import Database
from workbench.catalog.family import Family, count, distinct
from workbench.catalog.search import (
    Search,
    between,
    check_order,
    checked,
    exact_or_pattern,
    micros,
    tags_of,
)
from workbench.catalog.tables import dataset_parents, dataset_tags, datasets
from workbench.models import DatasetRecord


def _row(record: DatasetRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name or "",
        "schema_name": record.schema_name,
        "digest": record.digest,
        "run_id": record.run_id or "",
        "created": micros(record.created),
        "record": record.model_dump_json(),
    }


FAMILY = Family(
    type=DatasetRecord,
    table=datasets,
    row=_row,
    tags=dataset_tags,
    links={dataset_tags: lambda record: record.tags, dataset_parents: lambda record: record.parents},
    orders={"created": ("created", "id"), "name": ("name", "created", "id")},
)

_WITH_DIGEST = (
    sa.select(*FAMILY.shown)
    .where(datasets.c.digest == sa.bindparam("digest"))
    .order_by(datasets.c.created.desc(), datasets.c.id.desc())
    .limit(1)
)
_WITH_DIGEST_FROM_OUTSIDE = _WITH_DIGEST.where(datasets.c.run_id == "")


class DatasetCatalog:
    """What may be asked and recorded about datasets."""

    _database: Database

    def put_datasets(self, records: Sequence[DatasetRecord], *, are_new: bool = False) -> None:
        """Record datasets, or replace those of the same id, in one transaction; with ``are_new`` there are none of these ids."""
        if are_new and len(records) == 1 and self._database.is_quick:
            with self._database.quick() as quick:
                FAMILY.put_quickly(quick, records[0], None)
            return
        with self._database.write() as connection:
            FAMILY.put(connection, records, {} if are_new else None)

    def get_datasets(self, ids: Iterable[str]) -> dict[str, DatasetRecord]:
        """Return the datasets that are there, by id, in the order of the ids."""
        wanted = list(ids)
        if not wanted:
            return {}
        self._database.settle_datasets()
        with self._database.reader() as reader:
            return FAMILY.get(reader, wanted)

    def newest_dataset(self, name: str) -> DatasetRecord | None:
        """Return the newest dataset of exactly that name."""
        c = datasets.c
        statement = (
            sa.select(c.record).where(c.name == name, c.name != "").order_by(c.created.desc(), c.id.desc())
        )
        self._database.settle_datasets()
        with self._database.read() as connection:
            row = connection.execute(statement.limit(1)).first()
        return None if row is None else FAMILY.parse(row)

    def dataset_with_digest(self, digest: str) -> DatasetRecord | None:
        """Return the newest dataset with that digest that no run made; if all were made by runs, the newest of these."""
        self._database.settle_datasets()
        with self._database.reader() as reader:
            for statement in (_WITH_DIGEST_FROM_OUTSIDE, _WITH_DIGEST):
                for row in reader.rows(statement, {"digest": digest}):
                    return FAMILY.parse(row)
        return None

    def list_datasets(
        self,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        schema: str | None = None,
        run_id: str | None = None,
        digest: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        order: str = "-created",
        limit: int = 50,
        after: str | None = None,
    ) -> tuple[list[DatasetRecord], str | None]:
        """Return one page of datasets and the cursor of the next, or None at the end.

        Parameters
        ----------
        name : str, optional
            A name, or a pattern with ``*`` (any text) and ``?`` (one character). Case counts.
        tags : sequence of str
            The dataset has all of them.
        schema, run_id, digest : str, optional
            The schema's name, the run that made it, the digest of its object.
        since, until : datetime, optional
            Made at ``since`` or later, and before ``until``; local time where no zone is given.
        order : {"-created", "created", "name", "-name"}
        limit : int
            Records on a page.
        after : str, optional
            The cursor that came with the page before.

        Raises
        ------
        InvalidInputError
            For a wrong order, limit, time or cursor.
        """
        check_order(order, FAMILY.orders)
        exact, pattern = exact_or_pattern(name)
        asked = {"digest": digest, "run_id": run_id, "name": exact, "schema_name": schema}
        given = [(column, value) for column, value in asked.items() if value is not None]
        search = Search(
            family=FAMILY,
            equal=dict(given[:1]),  # they stand in the order of how few datasets they leave
            where=[checked(datasets.c[column]) == value for column, value in given[1:]],
            tags=tags_of(tags),
            pattern=pattern,
            since=since,
            until=until,
            order=order,
            limit=limit,
            after=after,
        )
        self._database.settle_datasets()
        with self._database.read() as connection:
            return search.page(connection)

    def dataset_names(self, prefix: str = "", limit: int = 50) -> list[str]:
        """Return the names that begin with the prefix, in order, at most ``limit``."""
        self._database.settle_datasets()
        with self._database.read() as connection:
            return list(
                islice(distinct(connection, datasets.c.name, between(datasets.c.name, prefix)), limit)
            )

    def delete_datasets(self, ids: Iterable[str]) -> list[bool]:
        """Delete datasets in one transaction and tell for each id whether it was there."""
        with self._database.write() as connection:
            return FAMILY.delete(connection, list(ids))

    def objects_in_use(self, digests: Iterable[str]) -> dict[str, int]:
        """Return for each digest how many datasets have that object, of those that are recorded."""
        with self._database.read() as connection:
            return count(connection, datasets.c.digest, digests)
