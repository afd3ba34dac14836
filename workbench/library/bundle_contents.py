"""What a bundle holds: files, of which some are executable, and empty folders; and when two of them are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workbench.models import BundleFile, BundleRecord

#: what stands for an empty folder among files; its path ends with a slash
FOLDER = BundleFile(digest="folder", size=0, mtime_ns=0)


def is_same(here: BundleFile, there: BundleFile) -> bool:
    """Tell whether a file is the same on both sides: in content and mode, where a disk here knows modes."""
    if here.digest != there.digest:
        return False
    return here.executable is None or here.executable == bool(there.executable)


def mark_of(file: BundleFile) -> str:
    """Return what is remembered of a file: its digest, as ever, and whether it is executable."""
    return f"{file.digest}+x" if file.executable else file.digest


def is_as(file: BundleFile, base: str | None) -> bool:
    """Tell whether a file is still what its mark says."""
    if file.executable is None and base is not None:
        return file.digest == base.removesuffix("+x")
    return mark_of(file) == base


def with_folders(side: Mapping[str, BundleFile], other: Mapping[str, BundleFile]) -> dict[str, BundleFile]:
    """Return the files of one side, with the empty folders of the other one that are folders there, only not empty."""
    wanted = {path for path in other if path.endswith("/") and path not in side}
    return {**side, **dict.fromkeys(wanted & _folders_above(side), FOLDER)} if wanted else dict(side)


def contents(record: BundleRecord) -> dict[str, BundleFile]:
    """Return the files and empty folders of a version, by path."""
    return {**record.files, **{f"{folder}/": FOLDER for folder in record.folders}}


def divided(paths: Mapping[str, BundleFile]) -> tuple[dict[str, BundleFile], tuple[str, ...]]:
    """Return the files, and the paths of the folders that nothing lies in."""
    files = {path: file for path, file in paths.items() if not path.endswith("/")}
    empty = {path for path in paths if path.endswith("/")} - _folders_above(paths)
    return files, tuple(sorted(path.rstrip("/") for path in empty))


def _folders_above(paths: Iterable[str]) -> set[str]:
    """Return the folders that something lies in, each with a slash at its end."""
    found: set[str] = set()
    for path in paths:
        above = path.rstrip("/").rpartition("/")[0]
        while above and f"{above}/" not in found:
            found.add(f"{above}/")
            above = above.rpartition("/")[0]
    return found
