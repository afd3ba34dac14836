"""Files that texts and paths name: their content counts, for it is what a function reads."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.execution.reuse import digest_of
from workbench.library.entry_files import digest_of as digest_of_file

_LONGEST = 4096  # characters of a path
_REMEMBERED = 1 << 20  # bytes: smaller files are read each time, for the clock of a file system is coarse


@dataclass(frozen=True, slots=True)
class FileToRead:
    """A file whose content is meant, not its name: functions get its array, as algorithms do. Words of a line that name an image
    or a file of arrays mean that."""

    path: Path


def without_marks(value: Any) -> tuple[Any, bool]:
    """Return an input with the paths of files to read, and whether there are any."""
    if isinstance(value, FileToRead):
        return value.path, True
    if isinstance(value, list) and any(isinstance(member, FileToRead) for member in value):
        return [without_marks(member)[0] for member in value], True
    return value, False


def names_files(value: Any) -> bool:
    """Tell whether a value is a text or path, or a list of nothing else."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(member, (str, os.PathLike)) for member in value)
    return isinstance(value, (str, os.PathLike))


def with_files(digest: str, value: Any) -> str:
    """Return the digest of a value, changed by the content of the files that it names.

    Parameters
    ----------
    digest : str
        Of the value; empty where nobody can tell, which texts and paths are told by themselves.
    value : object
        Texts and paths in lists and dicts count too. A text that names no file is nothing but a text.

    Returns
    -------
    str
        Empty if nobody can tell, such as for the path of a folder.
    """
    if not digest and names_files(value):
        members = value if isinstance(value, (list, tuple)) else [value]
        digest = digest_of(["named", type(value).__name__, [os.fspath(member) for member in members]])
    if not digest:
        return ""
    contents = []
    for name in _names_in(value):
        content = _content(name)
        if content is None:
            return ""
        if content:
            contents.append([os.fspath(name), content])
    return digest_of([digest, contents]) if contents else digest


def _names_in(value: Any, depth: int = 0) -> Iterator[str | os.PathLike[str]]:
    if isinstance(value, (str, os.PathLike)):
        yield value
    elif isinstance(value, (list, tuple, dict)) and depth < 20:
        for member in value.values() if isinstance(value, dict) else value:
            yield from _names_in(member, depth + 1)


def _content(name: str | os.PathLike[str]) -> str | None:
    """Return the digest of the file of a name; empty if there is none, None for the path of a folder."""
    path = os.fspath(name)
    if not isinstance(path, str) or len(path) > _LONGEST:
        return ""
    try:
        found = os.stat(path)  # noqa: PTH116  # a text may hold what no path may
    except (OSError, ValueError):
        return ""
    if stat.S_ISDIR(found.st_mode):
        return "" if isinstance(name, str) else None
    if not stat.S_ISREG(found.st_mode):
        return None
    if found.st_size < _REMEMBERED:
        return digest_of_file(Path(path))
    return _large(Path(path).resolve(), found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=1024)
def _large(path: Path, mtime_ns: int, size: int) -> str:
    return digest_of_file(path)
