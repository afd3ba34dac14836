"""What an entry was made from: entries, datasets, runs, versions of bundles and steps, which are there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, NotFoundError
from workbench.library.entry_makers import made_by
from workbench.models import BundleRecord, DatasetRecord, EntryRecord, RunRecord, StepVersionRecord
from workbench.names import is_id

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog

_RECORDS = (EntryRecord, DatasetRecord, RunRecord, BundleRecord)
_HOW = "Name entries, datasets, runs or bundles that are there, their ids, or entries such as 'eos/data@1/run1.h5'."


def checked_parents(
    catalog: Catalog, parents: Any, find_all: Callable[[str], Iterable[Any]]
) -> tuple[str, ...]:
    """Return the ids of what something was made from, each once.

    Parameters
    ----------
    catalog : Catalog
    parents : one or several, or None
        Entries, datasets, runs, bundles, versions of steps; their ids; names of entries, of which a version stands for all its
        files; or ``step@1.2.0``.
    find_all : callable
        Gives the entries of a name.

    Raises
    ------
    NotFoundError
        If one of them is not there.
    InvalidInputError
        If one is something else.
    """
    if parents is None:
        return ()
    is_one = isinstance(parents, (str, os.PathLike)) or hasattr(parents, "record")
    if not is_one and not isinstance(parents, Iterable):
        raise InvalidInputError(f"parents is {parents!r:.60}. {_HOW}")
    ids: dict[str, None] = {}
    for parent in [parents] if is_one else parents:
        record = getattr(parent, "record", parent)
        if isinstance(record, _RECORDS):
            ids[record.id] = None
        elif isinstance(record, StepVersionRecord):
            ids[made_by(catalog, parent).parent] = None
        elif not isinstance(parent, str):
            raise InvalidInputError(f"A parent is {type(parent).__name__} {parent!r:.60}. {_HOW}")
        elif is_id(parent):
            ids[parent] = None
        else:
            ids |= dict.fromkeys(_named(catalog, parent, find_all))
    _check_there(catalog, ids)
    return tuple(ids)


def _named(catalog: Catalog, name: str, find_all: Callable[[str], Iterable[Any]]) -> list[str]:
    try:
        if "/" in name:
            return [entry.id for entry in find_all(name)]
        return [made_by(catalog, name.partition(":")[2] or name).parent]
    except NotFoundError as error:
        why = error if "/" in name else f"No step or pipeline is called so, and nothing has this id. {_HOW}"
        raise NotFoundError(f"parents names {name!r}. {why}") from error


def _check_there(catalog: Catalog, ids: Iterable[str]) -> None:
    rest = [id_ for id_ in ids if is_id(id_)]  # versions of steps were found by their names
    for look in (catalog.get_entries, catalog.get_datasets, catalog.get_runs, catalog.get_bundles):
        if rest:
            known = look(rest)
            rest = [id_ for id_ in rest if id_ not in known]
    if rest:
        raise NotFoundError(f"parents names {rest[0]!r}, and nothing has this id, or it was purged. {_HOW}")
