"""From a reference in text to the revision it names, or to an error that names what is there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from workbench.algorithms.algorithm import Algorithm
from workbench.algorithms.refs import Ref, parse_ref
from workbench.catalog import Catalog
from workbench.errors import InvalidInputError, NotFoundError, did_you_mean, nearest
from workbench.models import Revision

HINT = "Deploy one: ws.algorithms.deploy('folder')."


class Lookup:
    """Finds revisions in the catalog by reference.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def revisions(self, revision: Revision) -> list[Revision]:
        """Return every revision of a version that the catalog knows."""
        filters: dict[str, Any] = {"name": revision.name, "major": revision.major, "minor": revision.minor}
        out: list[Revision] = []
        cursor: str | None = None
        while True:
            found, cursor = self._catalog.list_revisions(
                **filters, newest_only=False, limit=1000, after=cursor
            )
            out += found
            if cursor is None:
                return out

    def find(self, ref: str | Algorithm) -> Revision:
        """Return the revision that a reference names; of several the newest version.

        Raises
        ------
        NotFoundError
            With the nearest names or versions.
        """
        if isinstance(ref, Algorithm):
            return ref.revision
        if not isinstance(ref, str):
            raise InvalidInputError(
                f"{ref!r} names no algorithm. Pass text such as 'denoise@1.0', or an Algorithm."
            )
        parsed = parse_ref(ref)
        if parsed.id is not None and (found := self._catalog.get_revision(parsed.id)) is not None:
            return found
        if parsed.alias is not None:
            return self._aliased(parsed, self.spelled(parsed.name))
        if parsed.at is not None:
            return self._at(parsed, self.spelled(parsed.name), parsed.at)
        name = parsed.name
        found = self._catalog.find_revision(name, parsed.major, parsed.minor)
        if found is None and (name := self.spelled(name)) != parsed.name:
            found = self._catalog.find_revision(name, parsed.major, parsed.minor)
        if found is None or (parsed.id is not None and parsed.id != parsed.name):
            raise self._absent(parsed, name)
        return found

    def _aliased(self, parsed: Ref, name: str) -> Revision:
        known = self._catalog.get_aliases(name)
        folded = {alias.casefold(): alias for alias in known}
        spelled = parsed.alias if parsed.alias in known else folded.get(str(parsed.alias).casefold())
        if spelled is None:
            raise self._absent(parsed, name)
        target = known[spelled]
        if (found := self._catalog.get_revision(target)) is not None:
            return found
        aim = parse_ref(f"{name}@{target}")
        found = self._catalog.find_revision(name, aim.major, aim.minor)
        if found is None:
            raise NotFoundError(
                f"Alias {name}@{spelled} names {target!r}, which is gone. Move it: ws.algorithms.alias('{name}@1.0', {spelled!r})."
            )
        return found

    def before(self, revision: Revision) -> Revision:
        """Return the revision before one: of its version, else the newest of the version below.

        Raises
        ------
        NotFoundError
            If it is the first.
        """
        older = [r for r in self.revisions(revision) if (r.created, r.id) < (revision.created, revision.id)]
        if older:
            return max(older, key=lambda r: (r.created, r.id))
        mine = (revision.major, revision.minor)
        below = [v for v in self._catalog.algorithm_versions(revision.name) if v < mine]
        found = self._catalog.find_revision(revision.name, *below[-1]) if below else None
        if found is None:
            raise NotFoundError(
                f"There is nothing before {revision.ref} ({revision.id}). Name two to compare."
            )
        return found

    def _at(self, parsed: Ref, name: str, at: datetime) -> Revision:
        """Return what the name stood for at a time."""
        found = self._catalog.find_revision(name, until=at)
        if found is not None:
            return found
        first = self._catalog.first_revision(name)
        if first is None:
            raise self._absent(parsed, name)
        day = first.created.astimezone()
        raise NotFoundError(
            f"There was no algorithm {name!r} yet on {at.astimezone():%Y-%m-%d %H:%M}: the first one, {first.ref}, was deployed on "
            f"{day:%Y-%m-%d %H:%M}. Write '{name}@{day:%Y-%m-%d}' or a later date.",
            near=[f"{name}@{day:%Y-%m-%d}"],
        )

    def _absent(self, parsed: Ref, name: str) -> NotFoundError:
        names = self._catalog.algorithm_names()
        if name not in names:
            known = f" There are: {', '.join(names[:10])}." if names else f" There are none yet. {HINT}"
            near = did_you_mean(parsed.name, names)
            return NotFoundError(
                f"There is no algorithm {parsed.name!r}.{near or known}", near=nearest(parsed.name, names)
            )
        refs = self.refs(name)
        near_refs = nearest(parsed.text, refs) or refs[-3:]
        return NotFoundError(
            f"Algorithm {name!r} has no {parsed.text.partition('@')[2]!r}. It has: {', '.join(refs)}.",
            near=near_refs,
        )

    def refs(self, name: str) -> list[str]:
        """Return every reference to versions and aliases of an algorithm."""
        versions = [f"{name}@{a}.{b}" for a, b in self._catalog.algorithm_versions(name)]
        return [*versions, *(f"{name}@{alias}" for alias in self._catalog.get_aliases(name))]

    def spelled(self, name: str) -> str:
        """Return the name as it is deployed, if it differs in upper and lower case only."""
        if "*" in name or "?" in name or self._catalog.find_revision(name) is not None:
            return name
        return next(
            (known for known in self._catalog.algorithm_names() if known.casefold() == name.casefold()), name
        )
