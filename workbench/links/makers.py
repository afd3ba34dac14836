"""Entries that say which version of a step or pipeline made them: it is needed as long as they are there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from workbench.links.numbers import Number, shown

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog

_MOST = 5  # of each version, that a message names


def entries_made_by(catalog: Catalog, kind: str, name: str, numbers: Iterable[Number]) -> tuple[str, ...]:
    """Return what people call the entries that these versions have made."""
    parents = [f"{kind}:{name}@{shown(number)}" for number in numbers]
    found = [user for parent in parents for user in catalog.referrers(parent, _MOST)]
    return tuple(f"{user.kind} {user.label}" for user in found)
