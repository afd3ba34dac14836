"""Where session items live: which folders, whose, and how much may lie there."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import ReadOnlyError, WorkspaceError
from workbench.settings import Settings

SHARED_MEMORY = Path("/dev/shm")
LARGE = 1 << 30  # a smaller shared memory is that of a container, and full at once
NOWHERE = "none"


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of this user for session items, and their quotas.

    Parameters
    ----------
    folder : Path
        Where items are put.
    spill : Path, optional
        Where they go when there is no room.
    quota, spill_quota : int
        Bytes that the items of one workspace may take in each.
    in_memory : bool
        Whether ``folder`` is memory.
    """

    folder: Path
    spill: Path | None
    quota: int
    spill_quota: int
    in_memory: bool


def choose_place(settings: Settings) -> Place:
    """Return where session items live by these settings.

    Raises
    ------
    ReadOnlyError, WorkspaceError
        If the folder cannot be made, or belongs to somebody else.
    """
    base = _base(settings)
    folder = private_folder(base)
    spill = None
    if settings.session_spill != NOWHERE:
        spill = private_folder(Path(settings.session_spill) if settings.session_spill else _cache())
        if not settings.session_spill and os.stat(spill).st_dev == os.stat(folder).st_dev:
            spill = None  # it would only move within one disk
    quota: int | None = settings.session_quota
    if quota is None:
        usage = shutil.disk_usage(folder)
        quota = usage.total // 2 if is_memory(folder) else usage.free // 2
    spill_quota: int | None = settings.session_spill_quota
    if spill_quota is None:
        spill_quota = shutil.disk_usage(spill).free // 4 if spill is not None else 0
    return Place(folder, spill, quota, spill_quota, is_memory(folder))


def scope_name(url: str) -> str:
    """Return the folder name of a workspace: two workspaces never meet."""
    return hashlib.blake2b(url.encode(), digest_size=10).hexdigest()


def is_memory(folder: Path) -> bool:
    """Tell whether a folder is in memory; where that cannot be seen, it counts as a disk."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return False
    mounts = [(words[1], words[2]) for words in (line.split() for line in lines) if len(words) > 2]
    above = [m for m in mounts if Path(m[0]) in (folder, *folder.parents)]
    return max(above, key=lambda m: len(m[0]), default=("", ""))[1] in ("tmpfs", "ramfs")


def private_folder(base: Path) -> Path:
    """Return this user's own folder below one that many may share, made if need be, closed to all others.

    Raises
    ------
    ReadOnlyError
        If it cannot be made.
    WorkspaceError
        If somebody else has made it.
    """
    user = os.getuid()
    folder = base / f"workbench-{user}"
    hint = "Choose another folder with the setting session_folder (or session_spill)."
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = os.lstat(folder)
    except OSError as error:
        raise ReadOnlyError(
            f"The folder for session items {folder} cannot be made: {error}. {hint}"
        ) from error
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != user:
        raise WorkspaceError(
            f"The folder for session items {folder} belongs to user id {facts.st_uid}, not to you ({user}). {hint}"
        )
    if facts.st_mode & 0o077:
        folder.chmod(0o700)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ReadOnlyError(f"The folder for session items {folder} cannot be written. {hint}")
    return folder.resolve()


def _base(settings: Settings) -> Path:
    if settings.session_folder:
        return Path(settings.session_folder).expanduser()
    usable = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK | os.X_OK)
    return SHARED_MEMORY if usable and shutil.disk_usage(SHARED_MEMORY).total >= LARGE else _cache()


def _cache() -> Path:
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("workbench", appauthor=False)) / "sessions"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that can only be read
        return Path(tempfile.gettempdir())
    return folder
