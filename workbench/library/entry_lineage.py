"""What an entry was made from, and what was made from it: candidates, data, models, a step each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError
from workbench.pages import Page

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.models import EntryRecord

Found = dict[str, "EntryRecord | None"]


def lineage(catalog: Catalog, record: EntryRecord, generations: int = 10) -> Page[dict[str, Any]]:
    """Return a row for each entry that this one was made from (step below 0), itself, and what was made from it (above 0).

    What is no entry, such as a dataset, or was purged since, has its id only.

    Raises
    ------
    InvalidInputError
        For generations below 1.
    """
    if isinstance(generations, bool) or not isinstance(generations, int) or generations < 1:
        raise InvalidInputError(f"generations is {generations!r}, expected a whole number, 1 or larger.")
    rows = [_row(0, record.id, record)]
    for sign in (-1, 1):
        seen, front = {record.id}, [record]
        for step in range(1, generations + 1):
            ids = [id_ for one in front for id_ in _next(catalog, one, sign)]
            new = [id_ for id_ in dict.fromkeys(ids) if id_ not in seen]
            known = catalog.get_entries(new)
            rows += [_row(sign * step, id_, known.get(id_)) for id_ in new]
            seen.update(new)
            front = [known[id_] for id_ in new if id_ in known]
            if not front:
                break
    rows.sort(key=lambda row: row["step"])
    return Page(rows, lambda row: row, None, "entries")


def _next(catalog: Catalog, record: EntryRecord, sign: int) -> Iterable[str]:
    return record.parents if sign < 0 else catalog.children_of_entry(record.id)


def _row(step: int, id: str, record: EntryRecord | None) -> dict[str, Any]:
    where = "" if record is None else f"{record.domain}/{record.kind}@{record.version}/{record.name}"
    gone = (
        "in the trash" if record is not None and record.trashed else "" if record else "no entry, or purged"
    )
    return {"step": step, "entry": where, "note": gone, "id": id}
