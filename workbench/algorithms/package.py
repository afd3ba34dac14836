"""What of a folder is code, what is an asset, and what is left out; the package of the code and its digest.

The package is a zip of the ``.py`` files, sorted, stored without compression and with fixed times and permissions, so its
bytes, and with them its digest, follow from the content alone, on every machine and with every zlib. Every other file is
an asset, an object of its own named by its digest; also ``pyproject.toml`` and README, which Runners may fetch.
"""

from __future__ import annotations

import io
import os
import stat
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import DamagedError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    #: where a rule file lies (the path under which its folder was reached), its name, its patterns
    Rules = tuple[tuple[str, str, GitIgnoreSpec], ...]

SUFFIX = ".wbalg"  # of an algorithm that was exported to one file
IGNORE_FILES = (".gitignore", ".workbenchignore")  # in the same folder the second overrides the first
BLOCK = 8 * 2**20
_LEFT_OUT_FOLDERS = {
    "__pycache__": "compiled Python",
    "node_modules": "installed packages (node_modules)",
    "__MACOSX": "left by an archiver",
}
_LEFT_OUT_SUFFIXES = {".pyc": "compiled Python", ".pyo": "compiled Python"}


@dataclass
class Contents:
    """The files of an algorithm folder; paths are relative to it, with forward slashes."""

    folder: Path
    code: dict[str, bytes] = field(default_factory=dict)
    assets: dict[str, Path] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # path -> why; a folder ends with "/"
    problems: list[str] = field(default_factory=list)  # files that are wanted and cannot be read


def collect(folder: Path) -> Contents:
    """Sort the files of an algorithm folder into code, assets and what is left out, with the reason.

    Left out are what ``.gitignore`` and ``.workbenchignore`` of this folder and those in it name, dot files and folders, caches,
    virtual environments, installed packages, links that leave the folder, and what is no regular file. A link to a
    folder inside is followed once.
    """
    contents = Contents(folder.resolve())
    _Walk(contents).visit(contents.folder, "", (), inside_link=False)
    return contents


class _Walk:
    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.root = contents.folder

    def visit(self, folder: Path, prefix: str, rules: Rules, inside_link: bool) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as error:
            self._unreadable(prefix or ".", error)
            return
        for name in IGNORE_FILES:
            if lines := _lines(folder / name):
                from pathspec import GitIgnoreSpec

                rules = (*rules, (prefix, name, GitIgnoreSpec.from_lines(lines)))
        for entry in entries:
            self._entry(entry, prefix + entry.name, rules, inside_link)

    def _entry(self, entry: os.DirEntry[str], path: str, rules: Rules, inside_link: bool) -> None:
        is_link = entry.is_symlink()
        reason = self._link_problem(Path(entry.path), inside_link) if is_link else None
        is_folder = reason is None and entry.is_dir()
        shown = path + "/" if is_folder else path
        reason = reason or _own_reason(entry, is_folder) or _ignored(shown, rules)
        if reason is not None:
            self.contents.left_out[shown] = reason
        elif is_folder:
            self.visit(Path(entry.path), shown, rules, inside_link or is_link)
        elif path.endswith(".py"):
            try:
                self.contents.code[path] = read_settled(Path(entry.path))
            except OSError as error:
                self._unreadable(path, error)
        else:
            self.contents.assets[path] = Path(entry.path)

    def _link_problem(self, link: Path, inside_link: bool) -> str | None:
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):
            return "a link to nothing, or to itself"
        if not target.is_relative_to(self.root):
            return f"a link that leaves the folder, to {target}"
        if target.is_dir():
            if link.parent.resolve().is_relative_to(target):
                return "a link to a folder that holds it"
            if inside_link:
                return "a link in a linked folder"
        return None

    def _unreadable(self, path: str, error: OSError) -> None:
        self.contents.problems.append(unreadable(path, error))


def unreadable(path: str, error: OSError) -> str:
    """Return the problem of a file that is wanted and cannot be read."""
    if isinstance(error, DamagedError):
        return str(error)
    return f"{path} cannot be read: {error.strerror}. Make it readable (chmod u+r), or name it in .workbenchignore."


def _own_reason(entry: os.DirEntry[str], is_folder: bool) -> str | None:
    name = entry.name
    if not name.isprintable() or "\\" in name:
        return "a name with control characters, '\\' or bytes that are not UTF-8"
    if name.startswith("."):
        return "a dot folder" if is_folder else "a dot file"
    if is_folder:
        if os.path.lexists(f"{entry.path}/pyvenv.cfg") or os.path.lexists(f"{entry.path}/conda-meta"):
            return "a virtual environment"
        if name.endswith((".egg-info", ".dist-info")):
            return "packaging metadata"
        return _LEFT_OUT_FOLDERS.get(name)
    if not stat.S_ISREG(entry.stat().st_mode):
        return "not a regular file"
    return _LEFT_OUT_SUFFIXES.get(Path(name).suffix)


def _ignored(path: str, rules: Rules) -> str | None:
    for base, name, spec in reversed(rules):
        result = spec.check_file(path[len(base) :])
        if result.include is not None and result.index is not None:
            pattern = getattr(spec.patterns[result.index], "pattern", "")
            return f"{base}{name} says {pattern}" if result.include else None
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        return []


def build_zip(code: dict[str, bytes]) -> bytes:
    """Return the package of the code: the same bytes for the same names and contents, everywhere."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        for path in sorted(code):
            info = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            package.writestr(info, code[path])
    return buffer.getvalue()


def digest(data: bytes) -> str:
    """Return the BLAKE3 digest of bytes, in hexadecimal."""
    from blake3 import blake3

    return blake3(data).hexdigest()


def read_settled(path: Path) -> bytes:
    """Return a file's bytes, none of which changed while they were read.

    Raises
    ------
    DamagedError
        If the file keeps changing.
    """
    for _ in range(3):
        with path.open("rb") as file:
            before = _state(file.fileno())
            data = file.read()
            if _state(file.fileno()) == before and len(data) == before[0]:
                return data
    raise _changing(path)


def blocks(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes in blocks, so that files larger than memory work.

    Raises
    ------
    DamagedError
        After the last block, if the file was changed meanwhile.
    """
    with path.open("rb", buffering=0) as file:
        before = _state(file.fileno())
        while block := file.read(BLOCK):
            yield block
        if _state(file.fileno()) != before:
            raise _changing(path)


_known_digests: dict[str, tuple[tuple[int, int, int], str, int]] = {}


def hash_file(path: Path) -> tuple[str, int]:
    """Return digest and size of a file; a file that has been at rest is not read again.

    Raises
    ------
    DamagedError
        If the file changes while it is read.
    """
    from blake3 import blake3

    found = path.stat()
    state = (found.st_size, found.st_mtime_ns, found.st_ino)
    known = _known_digests.get(str(path))
    if known is not None and known[0] == state:
        return known[1], known[2]
    hasher = blake3(max_threads=blake3.AUTO)
    size = 0
    for block in blocks(path):
        hasher.update(block)
        size += len(block)
    value = hasher.hexdigest()
    # A file written within the last two seconds could be written again under the same time stamp.
    if size > BLOCK and time.time_ns() - found.st_mtime_ns > 2_000_000_000:
        _known_digests[str(path)] = (state, value, size)
    return value, size


def _state(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns


def _changing(path: Path) -> DamagedError:
    return DamagedError(f"{path} changes while it is being read. Let its writer finish, then deploy again.")
