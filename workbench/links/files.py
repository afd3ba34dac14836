"""The files of steps and links in the store: what a reindex builds the catalog from.

``steps/<kind>/<name>.json``, ``steps/<kind>/<name>/<number>.json``, ``links/<downstream>/<upstream>/<number>.json`` or, of one
version of the downstream step, ``.../<number>/<downstream number>.json``, and the bytes ``models/<step>/<digest>``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from workbench.catalog.steps import digest_of, key_of
from workbench.links.numbers import Number, shown
from workbench.models import LinkRecord, StepRecord, StepVersionRecord

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.catalog.steps import StepChange, StepKey
    from workbench.storage.store import Store

STEPS, LINKS, MODELS = "steps", "links", "models"
_BATCH = 500
Kept = StepRecord | StepVersionRecord | LinkRecord
R = TypeVar("R", StepRecord, StepVersionRecord, LinkRecord)


class StepFiles:
    """A transaction of the catalog in which the files of steps are written too, before it is committed."""

    def __init__(self, change: StepChange, store: Store) -> None:
        self.catalog = change
        self._store = store
        self._before: dict[tuple[str, str], bytes | None] = {}
        self._gone: list[tuple[str, str]] = []

    def put(self, record: Kept) -> None:
        """Write the file of a record, and then its row."""
        if isinstance(record, LinkRecord) and self.catalog.has_link(record):
            return
        collection, key = place_of(record)
        if (collection, key) not in self._before:
            self._before[collection, key] = self._store.get_many(collection, [key])[0]
        self._store.put(collection, key, record.to_json())
        if isinstance(record, StepRecord):
            self.catalog.put_step(record)
        elif isinstance(record, StepVersionRecord):
            self.catalog.put_version(record)
        else:
            self.catalog.put_link(record)

    def forget(self, collection: str, keys: Iterable[str]) -> None:
        """Delete files, once the transaction is committed."""
        self._gone += [(collection, key) for key in keys]

    def undo(self) -> None:
        """Put all files back."""
        for (collection, key), content in self._before.items():
            if content is None:
                self._store.delete(collection, [key])
            else:
                self._store.put(collection, key, content)

    def finish(self) -> None:
        """Delete what was to be forgotten."""
        for collection, key in self._gone:
            self._store.delete(collection, [key])


@contextmanager
def changing(catalog: Catalog, store: Store, keys: Iterable[StepKey]) -> Iterator[StepFiles]:
    """Give a transaction over steps; an error leaves catalog and files as they were."""
    with catalog.change_steps(keys) as change:
        mine = StepFiles(change, store)
        try:
            yield mine
        except BaseException:
            mine.undo()
            raise
    mine.finish()


def place_of(record: Kept) -> tuple[str, str]:
    """Return collection and key of a record's file."""
    if isinstance(record, LinkRecord):
        place = f"{record.downstream}/{record.upstream}/{shown(record.number)}"
        one = record.downstream_number
        return LINKS, f"{place}.json" if one is None else f"{place}/{shown(one)}.json"
    if isinstance(record, StepRecord):
        return STEPS, f"{'/'.join(key_of(record))}.json"
    return STEPS, f"{'/'.join(key_of(record))}/{shown(record.number)}.json"


def reindex(catalog: Catalog, store: Store) -> int:
    """Record all steps, versions and links that the store holds and no others; return how many versions."""
    with catalog.rebuild():
        catalog.clear_steps()
        return _fill(catalog, store)


def _fill(catalog: Catalog, store: Store) -> int:
    names = [info.key for info in store.list(STEPS)]
    steps = _read(store, STEPS, [n for n in names if n.count("/") == 1], StepRecord)
    versions = _read(store, STEPS, [n for n in names if n.count("/") == 2], StepVersionRecord)
    links = _read(store, LINKS, [info.key for info in store.list(LINKS)], LinkRecord)
    known = {key_of(step): step for step in steps}
    for version in versions:
        known.setdefault(
            key_of(version), StepRecord(name=version.step, kind=version.kind, created=version.created)
        )
    digests = {(str(v.kind), v.step, v.number): digest_of(v) for v in versions if v.deleted is None}
    with catalog.change_steps(known) as change:
        for step in known.values():
            change.put_step(step)
        for version in versions:
            change.put_version(version)
        for link in links:
            if ("step", link.downstream) in known and _is_sound(link, digests):
                change.put_link(link)
    return len(digests)


def _is_sound(link: LinkRecord, digests: Mapping[tuple[str, str, Number], str]) -> bool:
    """Tell whether the versions of a link are there, and are those that were meant.

    What a killed process has left may name a number that somebody else got afterwards.
    """
    ends = [(link.upstream, link.number, link.digests[0])]
    if link.downstream_number is not None:
        ends.append((link.downstream, link.downstream_number, link.digests[1]))
    return all(digests.get(("step", name, number)) == digest for name, number, digest in ends)


def _read(store: Store, collection: str, names: list[str], kind: type[R]) -> list[R]:
    found: list[R] = []
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        for name, content in zip(some, store.get_many(collection, some), strict=True):
            if content is None:
                continue  # deleted meanwhile
            try:
                record = kind.model_validate_json(content)
                if place_of(record) != (collection, name):
                    raise ValueError(f"it is the record of {place_of(record)[1]}")
            except ValueError as error:
                problem = str(error).splitlines()[0]
                warnings.warn(f"{collection}/{name} is damaged and was passed over: {problem}", stacklevel=4)
                continue
            found.append(record)
    return found
