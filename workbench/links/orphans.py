"""States that no version names: what was being saved by a process that was killed, or was replaced by one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from workbench.links.files import MODELS, STEPS
from workbench.models import StepVersionRecord, now

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.models import ObjectInfo
    from workbench.storage.store import Store


def orphans(
    catalog: Catalog, store: Store, older_than_s: float, *, delete: bool = False
) -> Iterator[ObjectInfo]:
    """Yield the states that no version of their step names, and delete them if that is said.

    What counts is what the files of the versions say; the catalog, which may be behind, only tells where to look. A save that is under
    way loses nothing: it looks for its bytes again once it has the step for itself, as this has.

    Parameters
    ----------
    catalog : Catalog
    store : Store
    older_than_s : float
        Seconds since the bytes were written.
    delete : bool
    """

    def is_old(info: ObjectInfo) -> bool:
        return (now() - info.modified).total_seconds() >= older_than_s

    stored = [info for info in store.list(MODELS) if is_old(info)]
    for step, some in groupby(stored, key=lambda info: info.key.partition("/")[0]):
        indexed = {record.data for record in catalog.step_versions("step", step)}
        suspects = [info for info in some if _digest(info) not in indexed]
        if not suspects:
            continue
        with catalog.change_steps([("step", step)]):
            found = _unnamed(store, step, suspects)
            if delete and found:  # written again meanwhile, it is somebody's
                there = {info.key: info for info in store.list(MODELS, prefix=f"{step}/")}
                found = [info for info in found if info.key in there and is_old(there[info.key])]
                store.delete(MODELS, [info.key for info in found])
        yield from found


def _unnamed(store: Store, step: str, suspects: list[ObjectInfo]) -> list[ObjectInfo]:
    """Return those that no file of a version names; none if one of these files cannot be read."""
    keys = [info.key for info in store.list(STEPS, prefix=f"step/{step}/")]
    named = set()
    for key, text in zip(keys, store.get_many(STEPS, keys), strict=True):
        if text is None:  # deleted in this moment
            continue
        try:
            named.add(StepVersionRecord.model_validate_json(text).data)
        except ValueError:
            warnings.warn(
                f"{STEPS}/{key} is damaged, so no state of step {step!r} is taken for unused. Restore the file first.",
                stacklevel=2,
            )
            return []
    return [info for info in suspects if _digest(info) not in named]


def _digest(info: ObjectInfo) -> str:
    return info.key.rpartition("/")[2]
