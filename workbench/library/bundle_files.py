"""The bytes of bundles on their way: into the store, and into a folder."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import DamagedError, InvalidInputError, NotFoundError
from workbench.library.bundle_contents import FOLDER
from workbench.library.bundle_folder import (
    BundleFolder,
    Progress,
    check_path,
    check_tree,
    copy_and_hash,
    in_batches,
)
from workbench.library.bundle_turn import writing
from workbench.models import BundleFile

if TYPE_CHECKING:
    from workbench.storage.store import Store

FILES = "bundle-files"
#: in the folder that is pulled into: what was fetched and not yet put in its place
INCOMING = ".workbench-incoming"
_REMOTE_AT_ONCE = 8
_TAMPERED = "No push makes such a name, so the record of the bundle is damaged or was tampered with. Nothing was fetched."
_MAKE_WAY = "Move it away first; delete=True removes it if it is as it was when both were in step."
_MEND = "No file was replaced. Push with rehash=True from a folder that has it: that mends it."


def send(
    store: Store,
    folder: BundleFolder,
    files: Mapping[str, BundleFile],
    progress: Progress | None = None,
    *,
    mend: bool = False,
) -> None:
    """Store the contents of files that are not there yet; each is checked as it goes.

    With ``mend``, those that are there are read, and sent again if they are damaged.

    Raises
    ------
    DamagedError
        If a file is no longer what it was when it was scanned.
    """
    by_digest = {file.digest: path for path, file in files.items() if file is not FOLDER}
    digests = sorted(by_digest)
    there = set(_there(store, digests, mend))

    def send_one(digest: str) -> None:
        path = by_digest[digest]
        try:
            with (folder.path / path).open("rb", buffering=0) as source, store.stage(FILES) as staged:
                with staged.path.open("wb") as target:
                    found = copy_and_hash(source, target, progress)
                if found != digest:
                    raise folder.changing([path])
                staged.publish(digest, overwrite=mend)
        except FileNotFoundError as error:
            raise folder.changing([path]) from error

    in_batches(_at_once(store), send_one, [digest for digest in digests if digest not in there])


def fetch(
    store: Store,
    folder: BundleFolder,
    files: Mapping[str, BundleFile],
    remove: Sequence[str] = (),
    progress: Progress | None = None,
) -> None:
    """Put files and empty folders of a bundle into a folder, and take others away.

    A file that has the right content already only gets its mode. All others are fetched and checked before the first one takes
    its place, by rename: a kill leaves each file the old or the new one. What was fetched when a kill, an interrupt or the network
    ended it is there for the next time; what is refused leaves nothing behind. Nobody else may be at it in this folder, see
    `bundle_turn`.

    Raises
    ------
    DamagedError
        If a content is gone or not what was pushed, or a file of the folder changed meanwhile.
    InvalidNameError, InvalidInputError
        If a path leads out of the folder, or a file is where a folder must be.
    StorageError
        If the folder does not take them.
    """
    for path, file in files.items():
        check_path(path.rstrip("/") if file is FOLDER else path, _TAMPERED)
    check_tree(files)
    _check_places(folder.path, [*files, *remove], {*remove})
    incoming = folder.path / INCOMING
    with writing(folder.path):
        try:
            _fetch_and_place(store, folder, incoming, files, remove, progress)
        except OSError as error:
            if isinstance(error, DamagedError) or error.errno == errno.ENOSPC:
                shutil.rmtree(incoming, ignore_errors=True)
            raise
        shutil.rmtree(incoming, ignore_errors=True)


def _fetch_and_place(
    store: Store,
    folder: BundleFolder,
    incoming: Path,
    files: Mapping[str, BundleFile],
    remove: Sequence[str],
    progress: Progress | None,
) -> None:
    folders = [path for path, file in files.items() if file is FOLDER]
    modes = {path: file for path, file in files.items() if folder.has(path, file.digest)}
    files = {path: file for path, file in files.items() if file is not FOLDER and path not in modes}
    last = {file.digest: path for path, file in files.items()}

    def fetch_one(digest: str) -> None:
        _fetch_one(store, incoming, digest, last[digest], progress)

    if not (files or modes or folders or remove) and folder.path.exists():
        return
    incoming.mkdir(parents=True, exist_ok=True)
    in_batches(_at_once(store), fetch_one, sorted(last))
    changed = [
        path
        for path in [*files, *modes, *remove]
        if not path.endswith("/") and not folder.is_as_scanned(path)
    ]
    if changed:
        raise folder.changing(changed, "no file was replaced")
    for path in remove:  # first: a file may have become a folder, or a folder a file
        if not path.endswith("/"):
            (folder.path / path).unlink(missing_ok=True)
    for path, file in files.items():
        target = folder.path / path
        _remove_empty(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = incoming / file.digest
        if last[file.digest] != path:  # the content of several files
            source = Path(shutil.copyfile(source, incoming / f"{file.digest}.{os.urandom(6).hex()}"))
        os.utime(source, ns=(file.mtime_ns, file.mtime_ns))
        _set_mode(source, file, folder)
        source.replace(target)
    for path, file in modes.items():
        _set_mode(folder.path / path, file, folder)
    for path in remove:
        _prune(folder.path / path / "x" if path.endswith("/") else folder.path / path, folder.path)
    for path in folders:  # after the removals: one may have become empty only now
        (folder.path / path).mkdir(parents=True, exist_ok=True)


def check_content(store: Store, path: str, digest: str, progress: Progress | None = None) -> None:
    """Raise if a stored content is gone, or not what was pushed.

    Raises
    ------
    DamagedError
    """
    try:
        with store.open(FILES, digest) as source:
            found = copy_and_hash(source, None, progress)
    except NotFoundError as error:
        raise _gone(path, store) from error
    if found != digest:
        raise _damaged(path, store, digest)


def _there(store: Store, digests: Sequence[str], mend: bool) -> Iterator[str]:
    """Yield those that are stored, with ``mend`` only those that are whole."""
    for digest, is_there in zip(digests, store.exist(FILES, digests), strict=True):
        if is_there:
            try:
                if mend:
                    check_content(store, digest, digest)
            except DamagedError:
                continue
            yield digest


def _fetch_one(store: Store, incoming: Path, digest: str, path: str, progress: Progress | None) -> None:
    ready = incoming / digest
    if ready.exists():  # from a pull that was killed
        with ready.open("rb", buffering=0) as source:
            if copy_and_hash(source, None, progress) == digest:
                return
    part = incoming / f"{digest}.{os.urandom(6).hex()}"
    try:
        with store.open(FILES, digest) as source, part.open("wb") as target:
            found = copy_and_hash(source, target, progress)
        if found != digest:
            raise _damaged(path, store, digest)
        part.replace(ready)
    except NotFoundError as error:
        raise _gone(path, store) from error
    finally:
        part.unlink(missing_ok=True)


def _set_mode(path: Path, file: BundleFile, folder: BundleFolder) -> None:
    """Let a file be executed by all who may read it, or by nobody."""
    mode = path.stat().st_mode & 0o777
    wanted = mode | (mode & 0o444) >> 2 if file.executable else mode & ~0o111
    if mode != wanted and folder.knows_modes():
        path.chmod(wanted)


def _at_once(store: Store) -> int:
    return 1 if store.is_local else _REMOTE_AT_ONCE


def _gone(what: str, store: Store) -> DamagedError:
    return DamagedError(f"The content of {what} is gone from {store.url}, {FILES}/. {_MEND}")


def _damaged(what: str, store: Store, digest: str) -> DamagedError:
    return DamagedError(
        f"The content of {what} is not what was pushed: {store.url}, {FILES}/{digest} was tampered with or is damaged. {_MEND}"
    )


def _check_places(root: Path, paths: Iterable[str], removed: Container[str]) -> None:
    """Raise if a file would not land in the folder, or in the place of something that is no file and stays."""
    inside = root.resolve()
    paths = list(paths)
    parents = {root / path if path.endswith("/") else (root / path).parent for path in paths}
    for parent in sorted(parents):
        if not parent.resolve().is_relative_to(inside):
            raise InvalidInputError(
                f"{parent} is a link that leads out of {root}, and nothing is written there. Remove the link first."
            )
        above = parent
        while above != root:
            is_in_the_way = above.exists() and not above.is_dir()
            if is_in_the_way and above.relative_to(root).as_posix() not in removed:
                raise InvalidInputError(f"{above} is a file where the bundle has a folder. {_MAKE_WAY}")
            above = above.parent
    for path in paths:
        if not path.endswith("/") and (root / path).is_dir():
            staying = _staying(root, root / path, removed)
            if staying is not None:
                raise InvalidInputError(
                    f"{root / path} is a folder, with {staying} in it, where the bundle has a file. {_MAKE_WAY}"
                )


def _staying(root: Path, folder: Path, removed: Container[str]) -> str | None:
    """Return the path of a file in a folder that will not be removed."""
    if folder.is_symlink():
        return folder.relative_to(root).as_posix()
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name).relative_to(root).as_posix()
            if path not in removed:
                return path
    return None


def _remove_empty(path: Path) -> None:
    """Remove a folder in which there are at most folders; leave a file."""
    if path.is_dir() and not path.is_symlink():
        for parent, _, _ in os.walk(path, topdown=False):
            Path(parent).rmdir()


def _prune(path: Path, root: Path) -> None:
    """Remove the folders above a path that have become empty."""
    for above in path.parents:
        if above == root:
            return
        try:
            above.rmdir()
        except OSError:
            return
