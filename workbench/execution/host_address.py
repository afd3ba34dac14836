"""Where the run host of a workspace is found: a private folder with a socket, a lock and a log.

One host per user, workspace and environment of Python, since workers import what this one imports.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import StorageError
from workbench.settings import Settings


@dataclass(frozen=True, slots=True)
class HostAddress:
    """The files of one host.

    Parameters
    ----------
    folder : Path
        Readable by its owner only.
    name : str
        Digest of workspace and environment of Python.
    """

    folder: Path
    name: str

    @property
    def socket(self) -> Path:
        """The socket; its path is short, since the system allows 107 bytes."""
        return self.folder / f"{self.name}.sock"

    @property
    def log(self) -> Path:
        """What the host and its workers print."""
        return self.folder / f"{self.name}.log"

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Hold the lock that lets only one process at a time start a host here."""
        descriptor = os.open(self.folder / f"{self.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def address_of(settings: Settings, url: str) -> HostAddress:
    """Return where the host of a workspace is, whether it runs or not.

    Raises
    ------
    StorageError
        If the private folder cannot be made or is not ours.
    """
    from blake3 import blake3

    # the environment, by whatever name its interpreter is called; several have one interpreter at the end of their links
    environment = [str(Path(sys.prefix).resolve()), str(Path(sys.executable).resolve())]
    identity = "\0".join([url, settings.catalog or "", *environment])
    return HostAddress(private_folder(settings.host_folder), blake3(identity.encode()).hexdigest()[:16])


def made_at(url: str | None) -> str | None:
    """Return when the workspace in a folder was made; None if there is none, or it is not in a folder.

    Another one may have come to the place of one that was deleted.
    """
    with suppress(OSError, ValueError):
        return str(json.loads((Path(url or "") / "workbench.json").read_text()).get("created"))
    return None


def private_folder(chosen: str | None = None) -> Path:
    """Return the folder of this user's hosts, made if need be, with rights for nobody else.

    A folder that is there and open to others, as ``/tmp``, stays as it is and gets one of ours in it.
    """
    runtime = Path(f"/run/user/{os.getuid()}")
    if chosen:
        folder = Path(chosen).expanduser()
    elif runtime.is_dir() and os.access(runtime, os.W_OK):
        folder = runtime / "workbench"
    else:
        folder = Path(tempfile.gettempdir()) / f"workbench-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(folder) and (chosen or folder.lstat().st_uid == os.getuid()):
            folder = folder / f"workbench-{os.getuid()}"
            folder.mkdir(mode=0o700, exist_ok=True)
        is_private = _is_private(folder)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} for the run host cannot be made: {error.strerror}. "
            "Name another one: WORKBENCH_HOST_FOLDER."
        ) from error
    if not is_private:
        raise StorageError(
            f"{folder} is not a private folder of yours, so no run host can be reached through it. "
            "Remove it, or name another one: WORKBENCH_HOST_FOLDER."
        )
    if len(str(folder)) > 80:
        raise StorageError(
            f"The folder {folder} is too long a path for a socket ({len(str(folder))} of at most 80 characters). "
            "Name a shorter one: WORKBENCH_HOST_FOLDER."
        )
    return folder


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def last_signal(folder: Path, pid: int) -> Path:
    """Return the file in a private folder that says which signal has ended a host."""
    return folder / f"{pid}.signal"


def how_ended(folder: Path, pid: int, started: float) -> str:
    """Return in words how a host ended that was there at that time, as far as its guard could tell."""
    path = last_signal(folder, pid)
    with suppress(OSError, ValueError):
        if path.stat().st_mtime >= started:  # the number may have been another one's before
            number = int(path.read_text())
            return f"was killed by signal {number} ({signal.Signals(number).name})"
    return "ended"


def tail(log: Path, lines: int = 12) -> str:
    """Return the last lines of a host's log."""
    with suppress(OSError):
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    return ""
