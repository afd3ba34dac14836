"""The records of datasets: where each is looked for, and how what was asked for is named when it is not there."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from workbench.errors import InvalidInputError, NotFoundError, StorageError, nearest
from workbench.library.dataset_filing import RECORDS, DatasetFiling
from workbench.models import DatasetRecord
from workbench.names import is_id

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.storage.store import Store

_BATCH = 256  # records that are read at once


class DatasetRecords:
    """Finds and saves records: files of the store and rows of the catalog, and those on their way there.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    filing : DatasetFiling
    """

    def __init__(self, store: Store, catalog: Catalog, filing: DatasetFiling) -> None:
        self._store = store
        self._catalog = catalog
        self._filing = filing

    def find(self, ref: str) -> DatasetRecord:
        """Return the record of an id, or the newest of a name.

        Raises
        ------
        NotFoundError
            With near names.
        StorageError
            If it is on its way to a place that cannot be written.
        InvalidInputError
            For what is no text.
        """
        if not isinstance(ref, str):
            raise InvalidInputError(
                f"A dataset is named by its id, its name or a Dataset, not by {type(ref).__name__} {ref!r:.60}. "
                "Store arrays first: ws.datasets.put({'image': array})."
            )
        found = (self._by_id(ref) if is_id(ref) else None) or self._catalog.newest_dataset(ref)
        if found is not None and ref in {found.id, found.name}:
            return found
        if is_id(ref) and self._filing.is_stuck(ref):
            raise StorageError(
                f"Dataset {ref} is kept in the journal of the workspace and cannot be brought to its place: the disk is full, or the "
                "workspace can only be read here. Make room, or open it once where it can be written."
            )
        near = nearest(ref, self._catalog.dataset_names("", limit=1000))
        hint = f" Did you mean {' or '.join(map(repr, near[:2]))}?" if near else " See ws.datasets.list()."
        raise NotFoundError(f"There is no dataset {ref!r}.{hint}", near=near)

    def get(self, ids: Iterable[str]) -> dict[str, DatasetRecord]:
        """Return the records that are there, by id, in the order of the ids."""
        ids = list(ids)
        found = {id: record for id in ids if (record := self._filing.get(id)) is not None}
        rest = [id for id in ids if id not in found] if found else ids
        if rest:
            found |= self._catalog.get_datasets(rest)
        return {id: found[id] for id in ids if id in found}

    def save(self, records: Sequence[DatasetRecord], *, are_new: bool = False) -> None:
        """Keep records: the files first, then the rows."""
        if records:
            self._store.put_many(RECORDS, {f"{record.id}.json": record.to_json() for record in records})
            self._catalog.put_datasets(records, are_new=are_new)

    def delete(self, id: str) -> None:
        """Forget a record."""
        self._catalog.delete_datasets([id])
        self._store.delete(RECORDS, [f"{id}.json"])

    def stored(self) -> Iterator[DatasetRecord]:
        """Yield all, read from the store, not the catalog; a damaged one is passed over with a warning."""
        self._filing.bring_here()
        batch: list[str] = []
        for info in self._store.list(RECORDS):
            batch.append(info.key)
            if len(batch) == _BATCH:
                yield from self._parse(batch)
                batch = []
        yield from self._parse(batch)

    def _by_id(self, id: str) -> DatasetRecord | None:
        on_its_way = self._filing.get(id)
        if on_its_way is not None:
            return on_its_way
        if self._store.is_local:  # its file is read faster than the catalog is asked
            try:
                return DatasetRecord.model_validate_json(self._store.get(RECORDS, f"{id}.json"))
            except (NotFoundError, ValueError):
                pass
        return self._catalog.get_datasets([id]).get(id)

    def _parse(self, keys: Sequence[str]) -> Iterator[DatasetRecord]:
        for key, content in zip(keys, self._store.get_many(RECORDS, keys), strict=True):
            try:
                if content is not None:
                    yield DatasetRecord.model_validate_json(content)
            except ValueError as error:
                problem = str(error).splitlines()[0]
                warnings.warn(f"{RECORDS}/{key} is damaged and was passed over: {problem}", stacklevel=2)
