"""Algorithms: what ``ws.algorithms`` is. Deploy, list, get, alias, delete."""

from __future__ import annotations

import builtins
import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, overload

from workbench.algorithms.algorithm import Algorithm, Description
from workbench.algorithms.aliases import Aliases
from workbench.algorithms.deploy import Deployer, DeployPlan
from workbench.algorithms.exchange import Exchange
from workbench.algorithms.folder import read_folder
from workbench.algorithms.lookup import HINT, Lookup
from workbench.algorithms.manifest import DEVICES
from workbench.algorithms.refs import asset_key, check_alias, parse_time
from workbench.algorithms.removal import Remover
from workbench.algorithms.revision_versions import (
    fields_of,
    fields_version,
    revision_table,
    version_of_revision,
)
from workbench.algorithms.stored import StoredAlgorithms
from workbench.catalog import Catalog
from workbench.errors import (
    InvalidInputError,
    NotFoundError,
    did_you_mean,
    nearest,
)
from workbench.models import AlgorithmType, Revision
from workbench.pages import Page, Row
from workbench.settings import Settings
from workbench.storage.store import Store
from workbench.versions import FieldChange, Version, change_note, change_table

if TYPE_CHECKING:
    from workbench.algorithms.code_digest import Code
    from workbench.runners import BaseRunner

KEPT_CODES = 256  # a few kB each


class Algorithms(Exchange):
    """The algorithms of a workspace.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    settings : Settings
    run : callable, optional
        Called as ``run(algorithm, inputs, parameters, **options)`` when an `Algorithm` is called.
    outdated : callable, optional
        Returns the steps of pipelines that need retraining for a version of an algorithm: ``ws.links.outdated``.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        settings: Settings,
        run: Callable[..., Any] | None = None,
        outdated: Callable[[str, Version], Sequence[str]] | None = None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._settings = settings
        self._run = run
        self._outdated = outdated
        self._stored = StoredAlgorithms(store)
        self._lookup = Lookup(catalog)
        self._deployer = Deployer(store, self._stored, catalog)
        self._aliases = Aliases(store, self._stored, catalog)
        self._remover = Remover(store, self._stored, catalog, self._lookup, self._aliases)
        self._codes: dict[str, Code] = {}  # by package digest

    # -- deploying

    @overload
    def deploy(
        self, path: str | os.PathLike[str], *, dry_run: Literal[False] = False, check: bool = True
    ) -> Algorithm: ...
    @overload
    def deploy(
        self, path: str | os.PathLike[str], *, dry_run: Literal[True], check: bool = True
    ) -> DeployPlan: ...
    @overload
    def deploy(
        self, path: str | os.PathLike[str], *, dry_run: bool, check: bool = True
    ) -> Algorithm | DeployPlan: ...
    def deploy(
        self, path: str | os.PathLike[str], *, dry_run: bool = False, check: bool = True
    ) -> Algorithm | DeployPlan:
        """Deploy an algorithm folder.

        The same content deployed twice is the same revision, and nothing new in the store. Other content under the same
        version is a new revision, which from then on answers to the name; the older one stays reachable by its id.

        Parameters
        ----------
        path : str or path
            The folder, with ``pyproject.toml`` and ``Runner.py``.
        dry_run : bool
            Store nothing and return the plan: what is code, what is an asset, what is left out and why.
        check : bool
            Import it in a clean process first, and scan its pickles. Without, only syntax and manifest are looked at.

        Returns
        -------
        Algorithm or DeployPlan

        Raises
        ------
        InvalidAlgorithmError
            With everything to mend in ``problems``; nothing has been stored.
        NotFoundError
            If there is no such folder.
        """
        plan = self._deployer.plan(read_folder(path), check=check)
        if dry_run:
            return plan
        before = self._catalog.find_revision(plan.name)
        deployed = self._algorithm(self._deployer.carry_out(plan))
        git, lost = deployed.revision.git, ""
        if git is not None and git.left_out and plan.state != "unchanged":
            names = ", ".join(git.left_out[:5])
            lost = f"of what is not committed, {len(git.left_out)} too large to keep: {names}"
        change = self._change_note(before, deployed.revision)
        deployed.note = "; ".join(filter(None, (plan.note, change, lost)))
        return deployed

    def _change_note(self, before: Revision | None, after: Revision) -> str:
        """Return what changed in the versioned fields of the Runner, and what that asks for."""
        if before is None or not before.verdict or not after.verdict or before.id == after.id:
            return ""
        if fields_of(before) == fields_of(after):
            return ""
        version = version_of_revision(after)
        outdated = self._outdated(after.name, version) if self._outdated else ()
        return change_note(after.name, fields_version(before), fields_version(after), outdated)

    def history(self, name: str) -> Page[Revision]:
        """Return all revisions of an algorithm, newest first, with what changed field by field.

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        found: builtins.list[Revision] = []
        after: str | None = None
        while True:
            some, after = self._catalog.list_revisions(name=name, newest_only=False, limit=500, after=after)
            found += some
            if after is None:
                break
        if not found:
            self.get(name)  # says what there is
        return revision_table(found)

    def field_changes(self, before: str, after: str) -> Page[FieldChange]:
        """Return what differs between two versions or revisions of algorithms, field by field: ``field_changes("blur@1.0", "blur@1.1")``."""
        return change_table(*(version_of_revision(self.get(ref).revision) for ref in (before, after)))

    # -- finding

    def list(
        self,
        name: str | None = None,
        major: int | None = None,
        minor: int | None = None,
        type: str | None = None,
        tags: Sequence[str] | str = (),
        any_tags: Sequence[str] | str = (),
        without_tags: Sequence[str] | str = (),
        device: str | None = None,
        as_of: str | date | None = None,
        order: str = "-created",
        limit: int | None = None,
    ) -> Page[Algorithm]:
        """List deployed algorithms, the newest revision of each version.

        Parameters
        ----------
        name : str, optional
            A name, or a pattern with ``*`` and ``?``.
        major, minor : int, optional
            Parts of the version.
        type : str, optional
            Such as ``Image2Image``, in upper or lower case.
        tags, any_tags, without_tags : str or sequence of str
            Has all of them, at least one, none.
        device : str, optional
            Supports ``cpu``, ``gpu`` (or ``cuda``), ``mps``.
        as_of : str, date or datetime, optional
            The registry as it was then: ``"2026-03-01"`` (the end of that day) or ``"2026-03-01T14:30"``, in local time.
        order : {"-created", "created", "name", "-name"}
        limit : int, optional
            Items on a page; default: the setting ``page_size``.

        Raises
        ------
        InvalidInputError
            For an unknown type, device, order or limit.
        """
        filters: dict[str, Any] = {
            "name": self._lookup.spelled(name) if name is not None else None,
            "major": major,
            "minor": minor,
            "type": _type(type),
            "tags": _words(tags),
            "any_tags": _words(any_tags),
            "without_tags": _words(without_tags),
            "device": _device(device),
            "as_of": None if as_of is None else parse_time(as_of),
            "order": order,
            "limit": self._settings.page_size if limit is None else limit,
        }
        return self._page(filters, _row)

    def revisions(self, ref: str | Algorithm) -> Page[Algorithm]:
        """List every revision of one version, the newest first, with its id."""
        revision = self._lookup.find(ref)
        filters = {
            "name": revision.name,
            "major": revision.major,
            "minor": revision.minor,
            "newest_only": False,
        }
        return self._page({**filters, "limit": self._settings.page_size}, _revision_row)

    def names(self, prefix: str = "") -> builtins.list[str]:
        """Return the names of all algorithms that begin with the prefix."""
        return self._catalog.algorithm_names(prefix)

    def get(self, ref: str | Algorithm) -> Algorithm:
        """Return the algorithm that a reference names; of several the newest version.

        Parameters
        ----------
        ref : str or Algorithm
            ``name``, ``name@1``, ``name@1.2``, ``name@alias``, a revision id, or ``name@2026-03-01``: what the name stood for at the
            end of that day, in local time; or ``name@2026-03-01T14:30``.

        Raises
        ------
        NotFoundError
            With the nearest names or versions, or the date of the first deploy.
        """
        return ref if isinstance(ref, Algorithm) else self._algorithm(self._lookup.find(ref))

    def describe(self, ref: str | Algorithm) -> Description:
        """Return what there is to know of an algorithm, with its parameters; shows itself as text and HTML."""
        return Description(self.get(ref))

    def complete(self, prefix: str = "") -> builtins.list[str]:
        """Return references that begin with the prefix, for tab completion: names, then versions and aliases behind ``@``."""
        name, separator, behind = prefix.partition("@")
        if not separator:
            return self.names(prefix)
        versions = self._catalog.algorithm_versions(name)
        majors = [str(major) for major in dict.fromkeys(major for major, _ in versions)]
        words = [*self._catalog.get_aliases(name), *majors, *(f"{a}.{b}" for a, b in versions)]
        return [f"{name}@{word}" for word in words if word.startswith(behind)]

    # -- aliases

    def alias(self, ref: str | Algorithm, alias: str) -> None:
        """Give a version another name: after ``alias("denoise@1.2", "stable")``, ``denoise@stable`` names it.

        An alias to a version follows its newest revision; one to a revision id stays with that revision. An alias that is
        there is moved.

        Raises
        ------
        InvalidNameError
            For an alias that looks like a version or breaks the naming rules.
        NotFoundError
            If ``ref`` names nothing.
        """
        check_alias(alias)
        revision = self._lookup.find(ref)
        by_id = isinstance(ref, str) and revision.id in ref
        self._aliases.change(revision.name, {alias: revision.id if by_id else revision.version})

    def aliases(self, name: str) -> dict[str, str]:
        """Return the aliases of an algorithm: alias to version or revision id."""
        return self._aliases.of(self._lookup.spelled(name))

    def remove_alias(self, name: str, alias: str) -> None:
        """Remove an alias; what it named stays.

        Raises
        ------
        NotFoundError
            If there is no such alias.
        """
        self._aliases.remove(self._lookup.spelled(name), alias)

    # -- deleting

    def delete(self, ref: str | Algorithm, *, force: bool = False) -> int:
        """Delete a version with all its revisions, or one revision, and the files that nothing else needs.

        Parameters
        ----------
        ref : str or Algorithm
            ``name@1.2`` for the version, a revision id for that revision; an Algorithm stands for its version.
        force : bool
            Delete although runs used it (they can then not be replayed) or an alias names it (which goes too).

        Returns
        -------
        int
            How many revisions were deleted.

        Raises
        ------
        InUseError
            If runs or aliases refer to it; nothing was deleted.
        InvalidInputError
            If the reference names no single version.
        NotFoundError
            If there is no such version or revision.
        """
        return self._remover.delete(ref, force=force)

    # -- code and assets

    def runner_class(self, revision: Revision) -> type[BaseRunner]:
        """Import the Runner class of a revision from its package, in an import namespace of its own."""
        from workbench.algorithms.loader import PackageSource, load_runner_class

        # by revision, not by code: what a module keeps of its assets must not reach another version
        source = PackageSource(self._stored.package(revision), revision.id, revision.ref)
        return load_runner_class(source, revision.runner, revision.runner_class, compox=revision.compox)

    def code(self, revision: Revision) -> Code:
        """Return what the code of a revision means, as digests; read once per package.

        Raises
        ------
        NotFoundError, DamagedError
            If its package is gone or damaged.
        """
        known = self._codes.get(revision.package)
        if known is None:
            from workbench.algorithms.code_digest import read_code

            known = read_code(self._stored.package(revision))
            while len(self._codes) >= KEPT_CODES:
                self._codes.pop(next(iter(self._codes)), None)
            self._codes[revision.package] = known
        return known

    def sources(self, revision: Revision) -> dict[str, bytes]:
        """Return the code of a revision: path to content."""
        with zipfile.ZipFile(io.BytesIO(self._stored.package(revision))) as file:
            return {name: file.read(name) for name in file.namelist()}

    def asset(self, revision: Revision, path: str) -> bytes:
        """Return the bytes of an asset by its path in the folder, checked against their digest.

        Raises
        ------
        InvalidNameError
            For a path with ``..``.
        NotFoundError
            With the nearest paths.
        """
        key = asset_key(path)
        if key not in revision.assets:
            raise NotFoundError(
                f"Algorithm {revision.ref!r} has no asset {path!r}.{did_you_mean(key, revision.assets)} "
                f"It has: {', '.join(revision.assets) or 'none'}.",
                near=nearest(key, revision.assets),
            )
        return self._stored.asset(revision, key)

    # -- the catalog from the store

    def records(self) -> Iterator[Revision]:
        """Yield every revision that lies in the store."""
        yield from self._stored.records()

    def reindex(self) -> int:
        """Bring revisions and aliases from the store into the catalog; return how many revisions."""
        count = 0
        for revision in self.records():
            self._catalog.put_revision(revision)
            count += 1
        for name, aliases in self._stored.aliases():
            self._catalog.set_aliases(name, aliases)
        return count

    # -- inside

    def _algorithm(self, revision: Revision) -> Algorithm:
        return Algorithm(revision, self, self._run)

    def _page(
        self, filters: dict[str, Any], row: Callable[[Algorithm], Row], after: str | None = None
    ) -> Page[Algorithm]:
        found, cursor = self._catalog.list_revisions(**filters, after=after)
        following = (lambda: self._page(filters, row, cursor)) if cursor is not None else None
        hint = "" if found else self._hint(filters.get("name"))
        return Page([self._algorithm(r) for r in found], row, following, "algorithms", hint)

    def _hint(self, name: str | None) -> str:
        """Return what to do when a listing is empty: a name that was mistyped looks like lost work."""
        names = self.names()
        near = did_you_mean(name or "", names).strip()
        return near or (f"None of these fits: {', '.join(names[:10])}." if names else HINT)


def _row(algorithm: Algorithm) -> Row:
    revision = algorithm.revision
    return {
        "algorithm": revision.ref,
        "type": revision.type.value,
        "devices": revision.supported_devices,
        "tags": revision.tags,
        "description": revision.description,
        "deployed": revision.created,
    }


def _revision_row(algorithm: Algorithm) -> Row:
    revision = algorithm.revision
    return {
        "revision": revision.id,
        "algorithm": revision.ref,
        "deployed": revision.created,
        "from": revision.source,
    }


def _type(type_: str | None) -> str | None:
    if type_ is None:
        return None
    types = {t.value.casefold(): t.value for t in AlgorithmType}
    found = types.get(str(type_).casefold())
    if found is None:
        raise InvalidInputError(
            f"Type {type_!r} is not known.{did_you_mean(str(type_), types.values())} Use one of {', '.join(types.values())}."
        )
    return found


def _device(device: str | None) -> str | None:
    if device is None:
        return None
    word = str(device).lower().partition(":")[0]
    word = "gpu" if word == "cuda" else word
    if word not in DEVICES:
        raise InvalidInputError(
            f"Device {device!r} is not known.{did_you_mean(word, DEVICES)} Use one of {', '.join(DEVICES)}."
        )
    return word


def _words(words: Sequence[str] | str) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)
