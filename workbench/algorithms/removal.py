"""Deletes versions and revisions, and the files that nothing else needs."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.algorithms.algorithm import Algorithm
from workbench.algorithms.aliases import Aliases
from workbench.algorithms.locks import writing
from workbench.algorithms.lookup import Lookup
from workbench.algorithms.refs import parse_ref
from workbench.algorithms.stored import RECORDS, StoredAlgorithms
from workbench.catalog import Catalog
from workbench.errors import InUseError, InvalidInputError
from workbench.models import Revision
from workbench.storage.store import Store


class Remover:
    """Carries deletions out.

    Parameters
    ----------
    store : Store
    stored : StoredAlgorithms
    catalog : Catalog
    lookup : Lookup
    aliases : Aliases
    """

    def __init__(
        self, store: Store, stored: StoredAlgorithms, catalog: Catalog, lookup: Lookup, aliases: Aliases
    ) -> None:
        self._store = store
        self._stored = stored
        self._catalog = catalog
        self._lookup = lookup
        self._aliases = aliases

    def delete(self, ref: str | Algorithm, *, force: bool) -> int:
        """Delete a version or a revision; see `Algorithms.delete`."""
        parsed = parse_ref(ref.ref if isinstance(ref, Algorithm) else ref)
        revision = self._lookup.find(parsed.text)
        if parsed.alias is not None:
            raise InvalidInputError(
                f"{parsed.text!r} is an alias of {revision.ref}. Delete {revision.ref!r}, "
                f"or the alias: ws.algorithms.remove_alias({revision.name!r}, {parsed.alias!r})."
            )
        by_id = parsed.id == revision.id
        if not by_id and parsed.version is None:
            versions = ", ".join(self._lookup.refs(revision.name))
            raise InvalidInputError(
                f"{parsed.text!r} names no single version. Name one to delete: {versions}."
            )
        self._stored.prepare()
        with writing(self._store, RECORDS):
            others = [r for r in self._lookup.revisions(revision) if r.id != revision.id]
            doomed = [revision] if by_id else [revision, *others]
            names = {r.id for r in doomed} | (set() if by_id and others else {revision.version})
            aliases = {a: t for a, t in self._aliases.of(revision.name).items() if t in names}
            if not force:
                self._refuse_used(doomed, aliases, parsed.text)
            if aliases:
                self._aliases.write(revision.name, dict.fromkeys(aliases))
            ids = {r.id for r in doomed}
            self._stored.change(
                revision.name, revision.version, lambda stored: [r for r in stored if r.id not in ids]
            )
            for one in doomed:
                self._catalog.delete_revision(one.id)
            packages = {r.package for r in doomed}
            assets = {value for r in doomed for value in r.assets.values()}
            used = {value for value, count in self._catalog.files_in_use(packages | assets).items() if count}
            self._stored.delete_files(packages - used, assets - used)
        return len(doomed)

    def _refuse_used(self, doomed: Sequence[Revision], aliases: dict[str, str], text: str) -> None:
        runs = sum(self._catalog.runs_of_revision(r.id) for r in doomed)
        users = [f"{runs} run{'s' if runs > 1 else ''}"] if runs else []
        users += [f"alias {alias!r}" for alias in aliases]
        if users:
            after = "; those runs can then not be repeated" if runs else ""
            raise InUseError(
                f"Nothing was deleted: {text!r} is used by {' and '.join(users)}. To delete it all the same{after}: "
                f"ws.algorithms.delete({text!r}, force=True).",
                users=users,
            )
