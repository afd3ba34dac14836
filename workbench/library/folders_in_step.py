"""Push and pull: a folder and a bundle, file by file, against what both last had in common."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError
from workbench.library import bundle_files
from workbench.library.bundle_contents import FOLDER, contents, is_same, mark_of, with_folders
from workbench.library.bundle_diff import (
    BundleDiff,
    BundleSync,
    Prefer,
    State,
    compare,
    refuse_conflicts,
    to_pull,
    to_push,
)
from workbench.library.bundle_files import FILES
from workbench.library.bundle_folder import PARTS, BundleFolder, Patterns, Progress, Scope
from workbench.library.bundle_turn import turn_in
from workbench.library.stored_bundles import StoredBundles
from workbench.models import BundleFile, BundleRecord
from workbench.names import check_name

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.storage.store import Store


class FoldersInStep:
    """What `Bundles` does with folders.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._stored = StoredBundles(store, catalog)

    def push(
        self,
        name: str,
        folder: str | os.PathLike[str],
        what: str = "all",
        *,
        prefer: Prefer = None,
        delete: bool = False,
        dry_run: bool = False,
        include: Patterns = (),
        exclude: Patterns = (),
        message: str = "",
        parents: Iterable[Any] = (),
        rehash: bool = False,
        progress: bool = False,
    ) -> BundleSync:
        """Send what is new or changed in a folder: a new version of the bundle, or nothing if nothing differs.

        What others have changed meanwhile stays as they left it. Empty folders travel too, and whether a file is executable.

        Parameters
        ----------
        name : str
        folder : path
        what : {"all", "data", "model"}
            ``data`` is what lies in ``data/`` and ``config/``, ``model`` what lies in ``output/`` and ``config/``; the rest of the
            bundle stays.
        prefer : {"mine", "theirs"}, optional
            For files that both sides have changed: send those of the folder, or leave those of the bundle.
        delete : bool
            Also remove from the new version what was removed from the folder since they were in step; and leave out what was
            removed from the bundle. Without, what is missing on one side is new on the other.
        dry_run : bool
            Only say what would be sent.
        include, exclude : str or iterable of str
            Patterns as in ``.gitignore``, such as ``exclude="*.tmp"``.
        message : str
            What this version is, for people.
        parents : iterable
            Runs or datasets that it was made from, or their ids.
        rehash : bool
            Read every file, also those that look as they did, and what is stored of them: contents that are gone or damaged there
            are sent again.
        progress : bool
            Show a bar if it takes longer than a second.

        Returns
        -------
        BundleSync
            The paths that were sent; ``.version`` is that of the bundle now.

        Raises
        ------
        ConflictError
            If both sides have changed a file, with the names in ``.files``. Nothing was sent.
        DamagedError
            If a file changes meanwhile. No version was made.
        NotFoundError, InvalidNameError, InvalidInputError
            For a missing folder, a wrong name or argument, a link that leads outside.

        Examples
        --------
        >>> ws.bundles.push("insects", "ml/insects", "model", message="trained on June")  # doctest: +SKIP
        """
        scope = _checked(name, what, include, exclude, prefer)
        local = BundleFolder(folder)
        self._refuse_own_place(local)
        with progress_bar(progress, f"push {name}") as tick:
            here = local.scan(scope, rehash=rehash, progress=tick)
            there = self._stored.newest(name)
            diff = self._diff(name, local, here, there, scope)
            move, remove = to_push(diff, prefer, delete)
            if dry_run:
                local.keep()
                return BundleSync("push", diff, move, remove, there.version if there else None, dry_run=True)
            refuse_conflicts("push", diff, prefer)
            if there is None and not move:
                raise _no_file(local, scope)
            if there is not None and not move and not remove and not rehash:
                self._remember(local, there, here, scope)
                return BundleSync("push", diff, move, remove, there.version)
            sending = {change.path: here[change.path] for change in diff.changes if rehash and change.here}
            sending |= {path: here[path] for path in move}
            bundle_files.send(self._store, local, sending, tick, mend=rehash)
            local.check_unchanged(scope)
            with self._catalog.change_bundles() as change:
                current = change.newest(name)
                if (current and current.id) != (there and there.id):  # somebody was quicker
                    there = self._stored.with_files(current) if current else None
                    diff = self._diff(name, local, here, there, scope)
                    move, remove = to_push(diff, prefer, delete)
                    refuse_conflicts("push", diff, prefer)
                if move or remove:
                    # deleted with another bundle meanwhile, or only now to be sent
                    bundle_files.send(self._store, local, {path: here[path] for path in move})
                    files = _merged(diff, contents(there) if there else {}, move, remove)
                    there = self._stored.publish(change, name, files, what, message, parents)
        if there is None:  # deleted meanwhile
            raise self._stored.absent(name, None)
        self._remember(local, there, here, scope)
        return BundleSync("push", diff, move, remove, there.version)

    def pull(
        self,
        name: str,
        folder: str | os.PathLike[str],
        what: str = "all",
        *,
        version: int | None = None,
        prefer: Prefer = None,
        delete: bool = False,
        dry_run: bool = False,
        include: Patterns = (),
        exclude: Patterns = (),
        rehash: bool = False,
        progress: bool = False,
    ) -> BundleSync:
        """Fetch what is new or changed in a bundle into a folder, which is made if it is not there.

        All files are fetched and checked before the first one takes its place. Pulls into one folder take turns; one that is
        refused leaves the folder as it was.

        Parameters
        ----------
        name : str
            ``name``, or ``name@version``.
        version : int, optional
            Default: the newest.
        prefer : {"mine", "theirs"}, optional
            For files that both sides have changed: keep those of the folder, or take those of the bundle.
        delete : bool
            Also remove from the folder what was removed from the bundle since they were in step; and leave out what was removed
            from the folder.
        what, dry_run, include, exclude, rehash, progress
            As for `push`.

        Returns
        -------
        BundleSync
            The paths that were fetched.

        Raises
        ------
        ConflictError
            If both sides have changed a file, with the names in ``.files``. Nothing was fetched.
        DamagedError
            If a stored content is not what was pushed. No file was replaced.
        NotFoundError
            If there is no such bundle or version, with the nearest.
        """
        name, version = parsed_name(name, version)
        scope = _checked(name, what, include, exclude, prefer)
        there = self._stored.with_files(self._stored.known(name, version))
        local = BundleFolder(folder, must_exist=False)
        self._refuse_own_place(local)
        with progress_bar(progress, f"pull {name}") as tick:
            if dry_run:
                here = local.scan(scope, rehash=rehash, progress=tick)
                local.keep()
                diff = self._diff(name, local, here, there, scope)
                return BundleSync("pull", diff, *to_pull(diff, prefer, delete), there.version, dry_run=True)
            with turn_in(local.path):
                local = BundleFolder(local.path)  # as the one before has left it
                here = local.scan(scope, rehash=rehash, progress=tick)
                diff = self._diff(name, local, here, there, scope)
                move, remove = to_pull(diff, prefer, delete)
                refuse_conflicts("pull", diff, prefer)
                self._fetch(local, here, there, scope, diff, (move, remove), tick)
        return BundleSync("pull", diff, move, remove, there.version)

    def diff(
        self,
        name: str,
        folder: str | os.PathLike[str],
        what: str = "all",
        *,
        version: int | None = None,
        include: Patterns = (),
        exclude: Patterns = (),
        rehash: bool = False,
    ) -> BundleDiff:
        """Return what differs between a folder and a bundle, and which side has changed it."""
        name, version = parsed_name(name, version)
        scope = _checked(name, what, include, exclude, None)
        there = (
            self._stored.newest(name)
            if version is None
            else self._stored.with_files(self._stored.known(name, version))
        )
        local = BundleFolder(folder)
        here = local.scan(scope, rehash=rehash)
        local.keep()
        return self._diff(name, local, here, there, scope)

    # -- inside

    def _fetch(
        self,
        local: BundleFolder,
        here: Mapping[str, BundleFile],
        there: BundleRecord,
        scope: Scope,
        diff: BundleDiff,
        moving: tuple[Sequence[str], Sequence[str]],
        progress: Progress | None,
    ) -> None:
        """Bring files into a folder and take others away, and note how both sides are the same then."""
        move, remove = moving
        theirs, left = contents(there), {*diff.paths(State.DELETED_HERE)} - {*move}
        fetched = {path: theirs[path] for path in move}
        empty = {path: file for path, file in theirs.items() if file is FOLDER and path not in left}
        kept = {path: empty[path] for path in empty if remove and scope.covers(path)}
        bundle_files.fetch(self._store, local, {**fetched, **kept}, remove, progress)
        gone = set(remove)
        here = {path: file for path, file in here.items() if path not in gone}
        self._remember(local, there, {**here, **fetched, **kept}, scope)

    def _diff(
        self,
        name: str,
        local: BundleFolder,
        here: Mapping[str, BundleFile],
        there: BundleRecord | None,
        scope: Scope,
    ) -> BundleDiff:
        theirs = scope.those_of(contents(there)) if there else {}
        base = local.base(there.bundle) if there else {}
        changes = compare(here, theirs, base)
        return BundleDiff(name, str(local.path), there.version if there else None, changes, bool(base))

    def _remember(
        self, local: BundleFolder, there: BundleRecord, here: Mapping[str, BundleFile], scope: Scope
    ) -> None:
        """Note for each file how both sides are the same, where they are."""
        base = local.base(there.bundle)
        all_theirs = contents(there)
        all_mine, all_theirs = with_folders(here, all_theirs), with_folders(all_theirs, here)
        for path in {*all_mine, *base, *all_theirs}:
            if scope.covers(path):
                mine, theirs = all_mine.get(path), all_theirs.get(path)
                if mine and theirs and is_same(mine, theirs):
                    base[path] = mark_of(theirs)
                elif mine is None and theirs is None:
                    base.pop(path, None)
        local.remember(there.bundle, base)

    def _refuse_own_place(self, local: BundleFolder) -> None:
        inside = self._store.local_path(FILES, "x")
        if inside is not None:
            root, folder = inside.absolute().parent.parent.resolve(), local.path.resolve()
            if folder.is_relative_to(root) or root.is_relative_to(folder):
                raise InvalidInputError(
                    f"{local.path} and the workspace {root} lie in each other, so a bundle would hold itself. Name another folder."
                )


def _merged(
    diff: BundleDiff, theirs: Mapping[str, BundleFile], move: Iterable[str], remove: Iterable[str]
) -> dict[str, BundleFile]:
    """Return the files and empty folders of the version that a push makes."""
    moving, gone = set(move), set(remove)
    found = dict(theirs)
    for change in diff.changes:
        here, there = change.here, change.there
        if here is FOLDER and (change.path in moving or change.state is State.SAME):
            found[change.path] = FOLDER  # also where it becomes empty by this push
        elif here is not None and change.path in moving:
            unknown = here.executable is None and there is not None
            found[change.path] = (
                here.model_copy(update={"executable": there.executable}) if unknown and there else here
            )
    return {path: file for path, file in sorted(found.items()) if path not in gone}


def parsed_name(name: str, version: int | None) -> tuple[str, int | None]:
    """Return name and version of ``name`` or ``name@version``."""
    plain, at, text = name.partition("@") if isinstance(name, str) else (name, "", "")
    check_name(plain, "Bundle name")
    if not at:
        if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
            raise InvalidInputError(f"version is {version!r}, expected a whole number of 1 or more.")
        return plain, version
    if not text.isdigit() or int(text) < 1 or version not in (None, int(text)):
        raise InvalidInputError(
            f"{name!r} names no version. Write the name and a number, such as '{plain}@3'."
        )
    return plain, int(text)


def _checked(name: str, what: str, include: Patterns, exclude: Patterns, prefer: Prefer) -> Scope:
    check_name(name, "Bundle name")
    if prefer not in (None, "mine", "theirs"):
        raise InvalidInputError(
            f"prefer is {prefer!r}, expected 'mine' (those of the folder) or 'theirs' (those of the bundle)."
        )
    return Scope(what, include, exclude)


def _no_file(local: BundleFolder, scope: Scope) -> InvalidInputError:
    """Return the error of a push that would begin a bundle with nothing."""
    if scope.words:
        parts = (
            f" {scope.what!r} is what lies in {' or '.join(PARTS[scope.what])}."
            if scope.what in PARTS
            else ""
        )
        return InvalidInputError(
            f"There is no file to push in {local.path} with {scope.words}: none of its files is meant then.{parts} Change that, "
            "or leave it out to push all."
        )
    return InvalidInputError(
        f"There is no file to push in {local.path}: it is empty, but for hidden files, which are no part of a bundle."
    )


@contextmanager
def progress_bar(wanted: bool, what: str) -> Iterator[Progress | None]:
    """Give a function that counts bytes, and shows them if it takes longer than a second."""
    if not wanted:
        yield None
        return
    from tqdm.std import tqdm

    with tqdm(desc=what, unit="B", unit_scale=True, delay=1.0, leave=False) as bar:
        yield bar.update
