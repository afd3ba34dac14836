"""Copies of files in the workspace: named by their content, shared by entries, whole or replaced."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import NotFoundError
from workbench.library.entry_files import digest_of, digest_of_bytes

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.storage.store import Store

FILES = "files"
SMALL = 1 << 20  # bytes of a file that is read once: hashed, and written if it is not there


def keep_copy(store: Store, path: Path) -> str:
    """Keep a copy of a file and return its digest: that of the copy, should somebody write to the file meanwhile.

    A copy that is there and was damaged is replaced, which mends it for all entries that share it. Files of a folder become
    read-only, so that nobody damages them by accident.
    """
    suffix = path.suffix.lower()
    if path.stat().st_size <= SMALL:
        content = path.read_bytes()
        digest = digest_of_bytes(content)
        key = f"{digest}{suffix}"
        if not _is_whole(store, key, digest, len(content)):
            store.put(FILES, key, content)
            _protect(store, key)
        return digest
    with store.stage(FILES) as staged:
        shutil.copyfile(path, staged.path)
        digest = digest_of(staged.path)
        key = f"{digest}{suffix}"
        if not _is_whole(store, key, digest, staged.path.stat().st_size):
            staged.publish(key, overwrite=True)
            _protect(store, key)
    return digest


def delete_unused(catalog: Catalog, store: Store, files: Iterable[str]) -> None:
    """Delete copies that no entry has; one in the trash has its copy too."""
    mine = sorted(set(files))
    if not mine:
        return
    with catalog.change_entries([], mine) as change:  # nobody adds one of these meanwhile
        used = change.users_of(mine)
        store.delete(FILES, [file for file in mine if not used[file]])


def _is_whole(store: Store, key: str, digest: str, size: int) -> bool:
    """Tell whether a copy is there and is what its name says; where copies are no files, its size has to do."""
    path = store.local_path(FILES, key)
    if path is None:
        try:
            return store.head(FILES, key).size == size
        except NotFoundError:
            return False
    try:
        return path.stat().st_size == size and digest_of(path) == digest
    except FileNotFoundError:
        return False


def _protect(store: Store, key: str) -> None:
    path = store.local_path(FILES, key)
    if path is not None:
        with contextlib.suppress(OSError):  # a file system without rights, or purged in this moment
            path.chmod(0o444)
