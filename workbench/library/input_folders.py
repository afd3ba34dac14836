"""Versions of bundles as inputs of runs: a small dataset names the files by their contents, and a read-only folder has them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import InvalidDataError
from workbench.library.bundle_contents import FOLDER, mark_of
from workbench.library.bundle_files import FILES, fetch
from workbench.library.bundle_folder import BundleFolder, is_executable
from workbench.models import BundleFile, DatasetRecord

if TYPE_CHECKING:
    from workbench.storage.store import Store

KEY = "bundle"  # of the dataset, whose digest is then that of all paths and contents
SOURCE = "bundle:"
FORGOTTEN_S = 30 * 86400.0  # a folder that nobody has asked for
_TIME_NS = 946_684_800 * 10**9  # of every file: one that has another was written to
_READ_ONLY, _WRITABLE = 0o555, 0o755


def named(files: Mapping[str, BundleFile]) -> dict[str, str]:
    """Return the data of the dataset that names files and empty folders; times are no content."""
    return {KEY: json.dumps({path: [mark_of(file), file.size] for path, file in sorted(files.items())})}


def is_folder(record: DatasetRecord) -> bool:
    """Tell whether a dataset names the files of a folder."""
    return (record.source or "").startswith(SOURCE) and list(record.keys) == [KEY]


def files_named(text: str) -> dict[str, BundleFile]:
    """Return the files that the text of a dataset names.

    Raises
    ------
    InvalidDataError
        If it is no such text.
    """
    try:
        return {str(path): _file(mark, size) for path, (mark, size) in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidDataError(
            f"The dataset names no files of a bundle ({error}). Give the run ws.bundles.get(name, version).",
            key=KEY,
        ) from error


def _file(mark: str, size: int) -> BundleFile:
    if mark == FOLDER.digest:
        return FOLDER
    digest = mark.removesuffix("+x")
    return BundleFile(digest=digest, size=size, mtime_ns=0, executable=digest != mark)


def _timed(file: BundleFile) -> BundleFile:
    return file if file is FOLDER else file.model_copy(update={"mtime_ns": _TIME_NS})


class InputFolders:
    """Folders in the cache of this user, one per content, whichever workspace it comes from.

    Each is made aside, its files checked by their digests, and takes its place by rename. Files and folders are read-only; one
    that was written to nevertheless is made anew for the next run. What nobody has asked for in a month goes away.

    Parameters
    ----------
    store : Store
        Has the contents of the bundles.
    root : Path, optional
    """

    def __init__(self, store: Store, root: Path | None = None) -> None:
        self._store = store
        self._given_root = root

    @property
    def _root(self) -> Path:
        if self._given_root is not None:
            return self._given_root
        import platformdirs

        return Path(platformdirs.user_cache_dir("workbench", appauthor=False)) / "folders"

    def are_stored(self, files: Mapping[str, BundleFile]) -> bool:
        """Tell whether all contents are there."""
        return all(self._store.exist(FILES, sorted({f.digest for f in files.values() if f is not FOLDER})))

    def path(self, digest: str, files: Mapping[str, BundleFile]) -> Path:
        """Return the folder with these files.

        Parameters
        ----------
        digest : str
            Of the dataset that names them.
        files : mapping
            By path.

        Raises
        ------
        DamagedError
            If a content is gone, or not what was pushed.
        InvalidNameError
            If a path leads out of the folder.
        """
        target = self._root / digest
        if not _is_as_made(target, files):
            self._make(target, files)
        os.utime(target)  # when it was last asked for
        return target

    def _make(self, target: Path, files: Mapping[str, BundleFile]) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget()
        made = Path(tempfile.mkdtemp(prefix=".made-", dir=self._root))
        try:
            timed = {path: _timed(file) for path, file in files.items()}
            fetch(self._store, BundleFolder(made), timed)
            for folder, path in _walk(made):
                path.chmod(_READ_ONLY if folder or is_executable(path.stat()) else 0o444)
            made.chmod(_READ_ONLY)
            if target.exists() and not _is_as_made(target, files):  # it was written to
                aside = made.with_name(f"{made.name}-before")
                target.rename(aside)
                _remove(aside)
            made.rename(target)
        except OSError:
            if not _is_as_made(target, files):  # else another run was quicker
                raise
        finally:
            _remove(made)

    def _forget(self) -> None:
        for path in self._root.iterdir():
            with suppress(FileNotFoundError):  # another process forgets, too
                if time.time() - path.stat().st_mtime > FORGOTTEN_S:
                    _remove(path)


def _is_as_made(target: Path, files: Mapping[str, BundleFile]) -> bool:
    if not target.is_dir():
        return False
    found = {}
    for is_folder, path in _walk(target):
        if not is_folder:
            state = path.lstat()
            found[path.relative_to(target).as_posix()] = (state.st_size, state.st_mtime_ns)
    return found == {p: (f.size, _TIME_NS) for p, f in files.items() if f is not FOLDER} and all(
        (target / path).is_dir() for path, file in files.items() if file is FOLDER
    )


def _walk(folder: Path) -> Iterator[tuple[bool, Path]]:
    """Yield all files and folders below a folder, and whether it is a folder; links are not followed."""
    for parent, folders, files in os.walk(folder):
        yield from ((False, Path(parent, name)) for name in files)
        yield from ((not Path(parent, name).is_symlink(), Path(parent, name)) for name in folders)


def _remove(folder: Path) -> None:
    """Remove a read-only folder, as far as it is there."""
    if not folder.is_dir():
        return
    folder.chmod(_WRITABLE)
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(_WRITABLE)
    shutil.rmtree(folder, ignore_errors=True)
