"""Small datasets on their way: kept in a journal at once, and brought to their places while the caller goes on.

A dataset is a file of arrays, a file with its record and a row of the catalog. To make the two files takes a disk up to a
millisecond, which a pipeline of short steps would wait for at each step. Here it waits for a line at the end of an open file, and a
thread does the rest, many datasets at a time. Nobody has to know: whoever asks the catalog for datasets waits until what is on its way
is in its place, which only the process does that has put it there; what a killed one left is taken up by the next that asks.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from workbench.errors import ConflictError, StorageError
from workbench.models import DatasetRecord
from workbench.storage import forked
from workbench.storage.failures import translate
from workbench.storage.filer import Filer
from workbench.storage.journal import ATTACHED, Journal, journal_folder

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.library.contents import Contents
    from workbench.settings import Settings
    from workbench.storage.store import Store

RECORDS = "datasets"
LOOK_S = 0.002
FILED_S = 2.0  # what is kept so long is with a process that cannot file it: its disk is full
MOST = 64 << 20  # bytes that may be on their way


@dataclass(frozen=True, slots=True)
class Kept:
    """A dataset on its way: its record, and the bytes of the file with its arrays."""

    record: DatasetRecord
    content: bytes | bytearray


class DatasetFiling:
    """Brings datasets to their places; safe to use from several threads.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    contents : Contents
    settings : Settings
    """

    def __init__(self, store: Store, catalog: Catalog, contents: Contents, settings: Settings) -> None:
        self._store = store
        self._catalog = catalog
        self._contents = contents
        self._journal = Journal(journal_folder(store, RECORDS), fsync=settings.durability == "fsync")
        self._mine = threading.local()
        self._filer = Filer(self._file_ours, "workbench-dataset-filing")
        self.begin_anew()
        forked.remember(self)

    def begin_anew(self) -> None:
        """Begin with nothing on its way: before a fork it is the parent's."""
        self._kept: dict[str, Kept] = {}
        self._is_taken_up = False  # what had ended before
        self._taken_in: set[int] = set()  # lines of other processes that were waited for

    # -- for who puts

    @contextmanager
    def later(self) -> Iterator[None]:
        """Let small datasets that this thread puts in the block be kept first."""
        before, self._mine.is_later = self.is_later, self._store.is_local
        try:
            yield
        finally:
            self._mine.is_later = before

    @property
    def is_later(self) -> bool:
        """Whether what this thread puts is kept first."""
        return getattr(self._mine, "is_later", False)

    def keep(self, records: Sequence[DatasetRecord], contents: Sequence[bytes | bytearray]) -> None:
        """Keep datasets until they are in their places, which is soon.

        Parameters
        ----------
        records : sequence of DatasetRecord
        contents : sequence of bytes
            Of the file of each.

        Raises
        ------
        StorageError
            If the disk cannot take one; those before it are kept.
        """
        for record, content in zip(records, contents, strict=True):
            line = f'{{"id":"{record.id}","{ATTACHED}":{len(content)},"record":{record.model_dump_json()}}}'
            try:
                self._journal.keep(record.id, line.encode(), content)
            except OSError as error:
                raise translate(error, self._store.url, RECORDS, f"{record.id}.json", True) from error
            kept = Kept(record, content)
            self._kept[record.id] = kept
            self._filer.add([kept])
        if sum(len(kept.content) for kept in list(self._kept.values())) > MOST:
            self._filer.finish()

    # -- for who looks

    def get(self, id: str) -> DatasetRecord | None:
        """Return the record of a dataset that this process still brings to its place."""
        kept = self._kept.get(id)
        return None if kept is None else kept.record

    def is_stuck(self, id: str) -> bool:
        """Tell whether a dataset is still on its way, and could not be brought to its place."""
        return bool(self._journal.find(id))

    def settle(self) -> None:
        """Bring what is on its way to its place, as far as that is possible now."""
        with suppress(StorageError):  # a workspace that can only be read, or is full, is shown as it is
            self.bring()

    def bring(self) -> None:
        """Return when what was on its way is in its place; only its own process brings it there, and it takes milliseconds.

        What processes have left that have ended is brought here, and what one does not bring in two seconds: it is stopped, or its
        disk is full.

        Raises
        ------
        StorageError
            If it cannot be brought there.
        """
        if self._filer.is_this_thread:
            return
        self._filer.finish(FILED_S)
        others = self._journal.of_others()
        if others or not self._is_taken_up:
            self._is_taken_up = True
            self._journal.take_up(self._file_lines)
        end = time.monotonic() + FILED_S
        waited = {hash(line) for line in others} - self._taken_in
        while waited and time.monotonic() < end:
            time.sleep(LOOK_S)
            others = self._journal.of_others()
            waited &= {hash(line) for line in others}
        # where it cannot be done, as in a place that can only be read, nobody waits a second time
        self._taken_in = (self._taken_in | waited) & {hash(line) for line in others}
        self._file_lines(line for line in others if hash(line) in waited)

    def bring_here(self) -> None:
        """Bring all that any process has on its way to its place in this thread, for one that makes all others wait.

        Raises
        ------
        StorageError
            If it cannot be brought there.
        """
        self._journal.take_up(self._file_lines)
        self._file_lines(self._journal.all())

    def wait_filed(self, id: str) -> None:
        """Return when no process is about to bring a dataset to its place, which would undo a change of it.

        Raises
        ------
        ConflictError
            If one is, and does not do it.
        """
        with suppress(StorageError):  # of other datasets
            self._filer.finish()
        self._journal.take_up(self._file_lines)
        end = time.monotonic() + FILED_S
        while self._journal.find(id):
            if time.monotonic() > end:
                raise ConflictError(
                    f"Dataset {id} is still on its way to its place: the process that made it has stopped, or its disk is full. Nothing "
                    "was changed. End that process, or make room, and try again."
                )
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Bring what is kept to its place, and end."""
        with suppress(StorageError):  # the next one that opens the workspace does it
            self._filer.finish()
        self._filer.close()
        with suppress(StorageError):
            self._journal.close(self._file_lines)

    # -- filing

    def _file_ours(self, batch: Sequence[Kept]) -> None:
        self._file(batch)
        self._journal.done(kept.record.id for kept in batch)
        for kept in batch:
            self._kept.pop(kept.record.id, None)

    def _file(self, batch: Sequence[Kept]) -> None:
        """Bring datasets to their places: the bytes, the records, the rows."""
        contents = {kept.record.digest: kept.content for kept in batch}
        records = [kept.record for kept in batch]
        for digest, content in contents.items():
            self._contents.put_file(digest, content)
        self._store.put_many(RECORDS, {f"{record.id}.json": record.to_json() for record in records})
        self._catalog.put_datasets(records)
        self._contents.keep(
            {d: partial(self._contents.put_file, d, content) for d, content in contents.items()}
        )

    def _file_lines(self, lines: Iterable[bytes]) -> None:
        batch = []
        for line in lines:
            head, _, content = line.partition(b"\n")
            with suppress(ValueError, KeyError):  # what another version has written may be no record here
                record = DatasetRecord.model_validate(json.loads(head)["record"])
                batch.append(Kept(record, content[:-1]))
        if batch:
            self._file(batch)
