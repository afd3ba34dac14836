"""Other names of versions: ``denoise@stable``."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.algorithms.locks import writing
from workbench.algorithms.stored import RECORDS, StoredAlgorithms
from workbench.catalog import Catalog
from workbench.errors import NotFoundError, did_you_mean, nearest
from workbench.storage.store import Store


class Aliases:
    """Keeps the aliases of algorithms, in the store and in the catalog.

    Parameters
    ----------
    store : Store
    stored : StoredAlgorithms
    catalog : Catalog
    """

    def __init__(self, store: Store, stored: StoredAlgorithms, catalog: Catalog) -> None:
        self._store = store
        self._stored = stored
        self._catalog = catalog

    def of(self, name: str) -> dict[str, str]:
        """Return the aliases of an algorithm: alias to version or revision id."""
        return self._catalog.get_aliases(name)

    def change(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Let aliases name a version or a revision id; None removes one."""
        self._stored.prepare()
        with writing(self._store, RECORDS):
            self.write(name, changes)

    def remove(self, name: str, alias: str) -> None:
        """Remove an alias; see `Algorithms.remove_alias`."""
        known = self.of(name)
        if alias not in known:
            raise NotFoundError(
                f"Algorithm {name!r} has no alias {alias!r}.{did_you_mean(alias, known)} It has: {', '.join(known) or 'none'}.",
                near=nearest(alias, known),
            )
        self.change(name, {alias: None})

    def write(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Do what `change` does; for who holds the lock of records already."""
        changed = {**self.of(name), **changes}
        kept = {alias: target for alias, target in changed.items() if target is not None}
        self._stored.put_aliases(name, kept)
        self._catalog.set_aliases(name, kept)
