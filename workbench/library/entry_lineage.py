"""What an entry was made from, and what was made from it: candidates, data, models, a step each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError
from workbench.models import BundleRecord, DatasetRecord, EntryRecord, RunRecord
from workbench.names import is_id
from workbench.pages import Page

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog

Found = EntryRecord | DatasetRecord | RunRecord | BundleRecord


def lineage(catalog: Catalog, record: EntryRecord, generations: int = 10) -> Page[dict[str, Any]]:
    """Return a row for each entry that this one was made from (step below 0), itself, and what was made from it (above 0).

    Runs, datasets, and versions of bundles and steps are on the way: a run was made from what it read. What was deleted since has its id only.

    Raises
    ------
    InvalidInputError
        For generations below 1.
    """
    if isinstance(generations, bool) or not isinstance(generations, int) or generations < 1:
        raise InvalidInputError(f"generations is {generations!r}, expected a whole number, 1 or larger.")
    rows = [_row(0, record.id, record)]
    front: list[Found]
    for sign in (-1, 1):
        seen, front = {record.id}, [record]
        for step in range(1, generations + 1):
            ids = [id_ for one in front for id_ in _next(catalog, one, sign)]
            new = [id_ for id_ in dict.fromkeys(ids) if id_ not in seen]
            known = _known(catalog, new)
            rows += [_row(sign * step, id_, known.get(id_)) for id_ in new]
            seen.update(new)
            front = [known[id_] for id_ in new if id_ in known]
            if not front:
                break
    rows.sort(key=lambda row: row["step"])
    return Page(rows, lambda row: row, None, "entries")


def _known(catalog: Catalog, ids: Sequence[str]) -> dict[str, Found]:
    """Return what there is of these ids, by one question for each kind."""
    found: dict[str, Found] = dict(catalog.get_entries(ids))
    rest = [id_ for id_ in ids if id_ not in found]
    if rest:
        found |= catalog.get_datasets(rest)
        found |= catalog.get_runs(rest)
        found |= catalog.get_bundles(id_ for id_ in rest if id_ not in found and is_id(id_))
    return found


def _next(catalog: Catalog, record: Found, sign: int) -> Iterable[str]:
    if sign > 0:
        return catalog.children_of_entry(record.id)
    if isinstance(record, RunRecord):
        return record.inputs
    if isinstance(record, DatasetRecord) and record.run_id is not None:
        return (record.run_id,)
    return record.parents


def _row(step: int, id: str, record: Found | None) -> dict[str, Any]:
    where = note = ""
    if isinstance(record, EntryRecord):
        where = f"{record.domain}/{record.kind}@{record.version}/{record.name}"
        note = "in the trash" if record.trashed else ""
    elif isinstance(record, RunRecord):
        where, note = f"run {record.algorithm}", str(record.status).lower()
    elif isinstance(record, BundleRecord):
        where = f"bundle {record.name}@{record.version}"
    elif record is not None:
        where = f"dataset {record.name or ''}".rstrip()
    elif id.startswith(("step:", "pipeline:")):  # a version of one
        where = id.replace(":", " ", 1)
    else:
        note = "no entry, or purged"
    return {"step": step, "entry": where, "note": note, "id": id}
