"""A local folder that is kept in step with a bundle: its files, their digests, and how both sides last were the same."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from workbench.errors import DamagedError, InvalidInputError, InvalidNameError, NotFoundError, did_you_mean
from workbench.library.bundle_contents import FOLDER
from workbench.models import BundleFile
from workbench.names import check_key
from workbench.storage.threads import in_threads

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

#: in the folder itself, so that it goes where the folder goes
MEMORY = ".workbench-bundle.json"
#: the parts of a folder that `what` names: all that lies below
PARTS = {"data": ("data", "config"), "model": ("output", "config")}
WHAT = ("all", *PARTS)
_LEAVE = "Remove it, or leave it out with exclude=..."
_RENAME = "Rename the file, or leave it out with exclude=..."
_IGNORED = frozenset({"__pycache__"})
T = TypeVar("T")
_BLOCK = 4 << 20
_SETTLED_NS = 2_000_000_000  # a file written later could be written again under the same time stamp
_FileState = tuple[int, int, int, bool]  # size in bytes, time in ns, inode, executable
_FOLDER_STATE: _FileState = (0, 0, 0, False)
Progress = Callable[[int], Any]
Patterns = str | Iterable[str]


class Scope:
    """Which files of a folder and a bundle are meant.

    Parameters
    ----------
    what : {"all", "data", "model"}
    include, exclude : str or iterable of str
        Patterns as in ``.gitignore``; without ``include``, all.

    Attributes
    ----------
    words : str
        What it was narrowed by, as people write it; empty if all files are meant.
    """

    def __init__(self, what: str = "all", include: Patterns = (), exclude: Patterns = ()) -> None:
        if what not in WHAT:
            raise InvalidInputError(
                f"what is {what!r}, expected one of {', '.join(WHAT)}.{did_you_mean(str(what), WHAT)}"
            )
        self.what = what
        self._tops = PARTS.get(what)
        include, exclude = _lines(include), _lines(exclude)
        self._include, self._exclude = _patterns(include), _patterns(exclude)
        said = {"include": include, "exclude": exclude, "what": [] if what == "all" else [what]}
        self.words = " and ".join(f"{name}={', '.join(map(repr, said[name]))}" for name in said if said[name])

    def enters(self, name: str) -> bool:
        """Tell whether a folder at the top can hold files that are meant."""
        return self._tops is None or name in self._tops

    def covers(self, path: str) -> bool:
        """Tell whether a file is meant."""
        if self._tops is not None:
            top, slash, _ = path.partition("/")
            if not slash or top not in self._tops:
                return False
        if self._include is not None and not self._include.match_file(path):
            return False
        return self._exclude is None or not self._exclude.match_file(path)

    def those_of(self, files: Mapping[str, BundleFile]) -> dict[str, BundleFile]:
        """Return the files and empty folders that are meant, by path."""
        return {path: file for path, file in files.items() if self.covers(path)}


class BundleFolder:
    """The files and empty folders of a folder.

    A link to a file in the folder counts as that file; other links are refused. Hidden files and folders (``.git``, ``.cache``) and
    ``__pycache__`` are no part of a bundle.

    Parameters
    ----------
    path : path
    must_exist : bool
    """

    def __init__(self, path: str | os.PathLike[str], *, must_exist: bool = True) -> None:
        self.path = Path(path).expanduser().absolute()
        if self.path.exists() and not self.path.is_dir():
            raise InvalidInputError(f"{self.path} is a file, and a bundle is a folder. Name the folder.")
        if must_exist and not self.path.exists():
            above = self.path.parent
            near = did_you_mean(self.path.name, [p.name for p in above.iterdir()]) if above.is_dir() else ""
            raise NotFoundError(f"There is no folder {self.path}.{near}")
        self._states: dict[str, _FileState] = {}
        self._scanned: dict[str, BundleFile] = {}
        self._memory = self._remembered()
        self._knows_modes: bool | None = None

    def scan(
        self, scope: Scope, *, rehash: bool = False, progress: Progress | None = None
    ) -> dict[str, BundleFile]:
        """Return the files and empty folders that a scope covers, by path; those of folders end with a slash.

        A file whose size, time and inode are those of the last time is not read again. Whether it is executable is what
        git asks too, the bit of its owner: what a umask gives or takes is no difference.

        Parameters
        ----------
        rehash : bool
            Read all of them.
        progress : callable, optional
            Called with numbers of bytes that were read.

        Raises
        ------
        InvalidInputError
            If one is a link that leads outside, a link to a folder, or no file at all.
        InvalidNameError
            If one cannot be called so in a bundle.
        DamagedError
            If one changes while it is read.
        """
        found = self._walk(scope)
        known: dict[str, Any] = {} if rehash else self._memory["digests"]
        files = {path: state for path, state in found.items() if state != _FOLDER_STATE}
        fresh = [path for path, state in files.items() if known.get(path, [])[:3] != list(state[:3])]
        begun = time.time_ns()
        hashed = in_batches(
            os.cpu_count() or 1, lambda path: self._digest(path, found[path], progress), fresh
        )
        digests = dict(zip(fresh, hashed, strict=True))
        cached = {}
        for path, (size, mtime, inode, _) in files.items():
            digests.setdefault(path, known.get(path, ["", "", "", ""])[3])
            if begun - mtime > _SETTLED_NS:
                cached[path] = [size, mtime, inode, digests[path]]
        self._states |= found
        others = {p: entry for p, entry in self._memory["digests"].items() if not scope.covers(p)}
        self._memory["digests"] = {**others, **cached}
        knows = self.knows_modes()
        self._scanned |= {
            path: BundleFile(
                digest=digests[path], size=size, mtime_ns=mtime, executable=executable if knows else None
            )
            for path, (size, mtime, _, executable) in files.items()
        }
        return {path: self._scanned.get(path, FOLDER) for path in sorted(found)}

    def check_unchanged(self, scope: Scope) -> None:
        """Raise if a file has come, gone or changed since the scan."""
        found = self._walk(scope)
        before = {path: state for path, state in self._states.items() if scope.covers(path)}
        changed = sorted(p for p in found.keys() | before.keys() if found.get(p) != before.get(p))
        if changed:
            raise self.changing(changed)

    def has(self, path: str, digest: str) -> bool:
        """Tell whether a file of its own, no link, had this content when it was scanned."""
        known = self._scanned.get(path)
        return known is not None and known.digest == digest and not (self.path / path).is_symlink()

    def knows_modes(self) -> bool:
        """Tell whether the disk keeps for each file whether it is executable; that of many a camera or stick does not."""
        if self._knows_modes is None and self.path.exists():
            probe = self.path / f"{MEMORY}.{os.urandom(6).hex()}"
            try:
                probe.touch(mode=0o700)
                probe.chmod(0o700)
                set_by_us = is_executable(probe.stat())
                probe.chmod(0o600)
                self._knows_modes = set_by_us and not is_executable(probe.stat())
            except OSError:  # nothing can be tried here, so what it says is believed
                self._knows_modes = True
            finally:
                with suppress(OSError):
                    probe.unlink()
        return self._knows_modes is not False

    def is_as_scanned(self, path: str) -> bool:
        """Tell whether a file is what the scan has seen, or as absent as then; a folder in its place is no file."""
        try:
            found = (self.path / path).stat()
            return (
                path not in self._states
                if stat.S_ISDIR(found.st_mode)
                else _state(found) == self._states.get(path)
            )
        except (FileNotFoundError, NotADirectoryError):
            return path not in self._states

    def changing(self, paths: Iterable[str], so: str = "nothing was published") -> DamagedError:
        """Return the error of files that somebody else writes."""
        shown = list(paths)
        return DamagedError(
            f"{_names(shown)} of {self.path} changed meanwhile, so {so}. Let the writer finish, then do it again."
        )

    # -- what it remembers

    def base(self, bundle: str) -> dict[str, str]:
        """Return path to digest, as both sides were when they were last the same."""
        return dict(self._memory["synced"].get(bundle, {}))

    def remember(self, bundle: str, base: Mapping[str, str]) -> None:
        """Note how both sides are the same now, and the digests; a folder that cannot be written remembers nothing."""
        self._memory["synced"][bundle] = dict(base)
        self.keep()

    def keep(self) -> None:
        """Write down what is known."""
        temporary = self.path / f"{MEMORY}.{os.urandom(6).hex()}"
        try:
            temporary.write_text(json.dumps(self._memory))
            temporary.replace(self.path / MEMORY)
        except OSError:
            with suppress(OSError):
                temporary.unlink()

    def _remembered(self) -> dict[str, Any]:
        try:
            found = json.loads((self.path / MEMORY).read_text())
            if isinstance(found["digests"], dict) and isinstance(found["synced"], dict):
                return {"digests": found["digests"], "synced": found["synced"]}
        except (OSError, ValueError, KeyError, TypeError):  # absent or damaged: it is read again
            pass
        return {"digests": {}, "synced": {}}

    # -- inside

    def _walk(self, scope: Scope) -> dict[str, _FileState]:
        found: dict[str, _FileState] = {}
        if self.path.exists():
            for path, entry in self._entries(str(self.path), "", scope):
                if scope.covers(path):
                    found[path] = _FOLDER_STATE if entry is None else self._checked(path, entry)
                    if entry is None:
                        check_path(path.rstrip("/"))
        return found

    def _entries(
        self, folder: str, prefix: str, scope: Scope
    ) -> Iterator[tuple[str, os.DirEntry[str] | None]]:
        """Yield paths with their entries, and None for a folder in which there is nothing that could be pushed."""
        empty = True
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _IGNORED:
                    continue
                empty = False
                path = f"{prefix}{entry.name}"
                if not entry.is_dir(follow_symlinks=False):
                    yield path, entry
                elif prefix or scope.enters(entry.name):
                    yield from self._entries(entry.path, f"{path}/", scope)
        if empty and prefix:
            yield prefix, None

    def _checked(self, path: str, entry: os.DirEntry[str]) -> _FileState:
        if path not in self._memory["digests"]:
            check_path(path)
        if entry.is_symlink():
            return _state(self._linked(entry.path).stat())
        found = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidInputError(f"{entry.path} is neither a file nor a folder. {_LEAVE}")
        return _state(found)

    def _linked(self, path: str) -> Path:
        """Return the file that a link leads to."""
        target = Path(path).resolve()
        if not target.is_relative_to(self.path.resolve()):
            raise InvalidInputError(f"{path} is a link that leads out of the folder, to {target}. {_LEAVE}")
        if not target.is_file():
            raise InvalidInputError(f"{path} is a link to {target}, which is no file. {_LEAVE}")
        return target

    def _digest(self, path: str, state: _FileState, progress: Progress | None) -> str:
        try:
            with (self.path / path).open("rb", buffering=0) as source:
                digest = copy_and_hash(source, None, progress)
                if _state(os.fstat(source.fileno())) == state:
                    return digest
        except FileNotFoundError:
            pass
        raise self.changing([path])


def in_batches(workers: int, call: Callable[[str], T], items: Sequence[str]) -> list[T]:
    """Return what ``call`` gives for each item, some at a time: an error or an interrupt need not wait for the rest."""
    found: list[T] = []
    for start in range(0, len(items), 8 * workers):
        found += in_threads(workers, call, items[start : start + 8 * workers])
    return found


def copy_and_hash(source: Any, target: BinaryIO | None, progress: Progress | None = None) -> str:
    """Return the BLAKE3 digest of what a file gives, and write it to another one, a block at a time."""
    from blake3 import blake3

    hasher = blake3()
    while block := source.read(_BLOCK):
        hasher.update(block)
        if target is not None:
            target.write(block)
        if progress is not None:
            progress(len(block))
    return hasher.hexdigest()


def check_path(path: str, remedy: str = _RENAME) -> str:
    """Return the path of a file in a bundle: relative, and below the folder.

    Raises
    ------
    InvalidNameError
        With what is wrong.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InvalidNameError(f"The file name {path!a} is not UTF-8. {remedy}") from None
    return check_key(path, "File name", remedy)


def check_tree(paths: Iterable[str]) -> None:
    """Raise if a path is a file and a folder at once.

    Raises
    ------
    InvalidInputError
        With the two.
    """
    known = set(paths)
    for path in known:
        above, _, _ = path.rpartition("/")
        while above:
            if above in known:
                raise InvalidInputError(
                    f"{above!r} would be a file and, for {path!r}, a folder. Rename or remove one of them."
                )
            above, _, _ = above.rpartition("/")


def _names(paths: list[str]) -> str:
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return ", ".join(paths[:5]) + more


def _state(found: os.stat_result) -> _FileState:
    return found.st_size, found.st_mtime_ns, found.st_ino, is_executable(found)


def is_executable(found: os.stat_result) -> bool:
    """Tell whether the owner of a file may execute it."""
    return bool(found.st_mode & stat.S_IXUSR)


def _lines(patterns: Patterns) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _patterns(lines: list[str]) -> GitIgnoreSpec | None:
    if not lines:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"A pattern cannot be read: {error}. Write them as in .gitignore.") from error
