"""Bundles in the catalog: their versions are allocated here, and the contents counted that they share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from workbench.catalog.engine import Database
from workbench.catalog.family import chunks, count
from workbench.catalog.tables import bundle_files, bundle_parents, bundles
from workbench.models import BundleRecord

_B = bundles.c


class BundleChange:
    """A transaction that no other one that changes bundles shares."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def newest(self, name: str, *, deleted: bool = False) -> BundleRecord | None:
        """Return the newest version of a bundle without its files; ``deleted`` counts deleted ones too."""
        where = [_B.name == name] if deleted else [_B.name == name, _B.deleted == 0]
        text = self._connection.scalar(
            sa.select(_B.record).where(*where).order_by(_B.version.desc()).limit(1)
        )
        return None if text is None else BundleRecord.model_validate_json(text)

    def versions(self, name: str) -> list[BundleRecord]:
        """Return the versions of a bundle that are there, without their files, the newest first."""
        return _versions(self._connection, name)

    def put(self, record: BundleRecord) -> None:
        """Record a version, in the place of what was known of it."""
        where = (_B.name == record.name, _B.version == record.version)
        self._connection.execute(sa.delete(bundles).where(*where))
        made = sa.insert(bundles).values(
            name=record.name,
            version=record.version,
            deleted=int(record.deleted is not None),
            record=record.model_copy(update={"files": {}, "folders": ()}).model_dump_json(),
        )
        number = self._connection.execute(made).inserted_primary_key[0]  # type: ignore[index]
        digests = sorted({file.digest for file in record.files.values()})
        for some in chunks(digests):
            rows = [{"bundle": number, "digest": digest} for digest in some]
            self._connection.execute(sa.insert(bundle_files), rows)
        if record.parents and record.deleted is None:
            parents = [{"bundle": number, "parent": parent} for parent in dict.fromkeys(record.parents)]
            self._connection.execute(sa.insert(bundle_parents), parents)

    def users_of(self, digests: Iterable[str]) -> dict[str, int]:
        """Return for each content how many versions have it."""
        return count(self._connection, bundle_files.c.digest, digests)


class BundleCatalog:
    """What may be asked and recorded about bundles."""

    _database: Database

    @contextmanager
    def change_bundles(self) -> Iterator[BundleChange]:
        """Give a transaction over all bundles, for they share contents.

        Raises
        ------
        WorkbenchError
            Whatever goes wrong inside; then the catalog is as it was.
        """
        with self._database.write() as connection:
            self._database.lock(connection, "bundles")
            yield BundleChange(connection)

    def bundle_versions(self, name: str) -> list[BundleRecord]:
        """Return the versions of a bundle that are there, without their files, the newest first."""
        with self._database.read() as connection:
            return _versions(connection, name)

    def get_bundles(self, ids: Iterable[str]) -> dict[str, BundleRecord]:
        """Return the versions of bundles that are there, without their files, by id; of a few ids, for it looks at all bundles."""
        found: dict[str, BundleRecord] = {}
        with self._database.read() as connection:
            for id_ in ids:
                where = (_B.deleted == 0, _B.record.contains(f'"id":"{id_}"', autoescape=True))
                for text in connection.scalars(sa.select(_B.record).where(*where)):
                    record = BundleRecord.model_validate_json(text)
                    found |= {id_: record} if record.id == id_ else {}
        return found

    def newest_bundles(self) -> list[BundleRecord]:
        """Return the newest version of each bundle, without its files, by name."""
        newest = (
            sa.select(_B.name, sa.func.max(_B.version).label("version"))
            .where(_B.deleted == 0)
            .group_by(_B.name)
            .subquery()
        )
        joined = bundles.join(newest, (_B.name == newest.c.name) & (_B.version == newest.c.version))
        with self._database.read() as connection:
            found = connection.scalars(sa.select(_B.record).select_from(joined).order_by(_B.name))
            return [BundleRecord.model_validate_json(text) for text in found]


def _versions(connection: sa.Connection, name: str) -> list[BundleRecord]:
    where = (_B.name == name, _B.deleted == 0)
    found = connection.scalars(sa.select(_B.record).where(*where).order_by(_B.version.desc()))
    return [BundleRecord.model_validate_json(text) for text in found]
