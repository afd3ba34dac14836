"""Words of a line about entries become a call: for the magics and the command line."""

from __future__ import annotations

import ast
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.commands.words import split_words
from workbench.errors import InvalidInputError, NotFoundError, WorkbenchError
from workbench.pages import Page

if TYPE_CHECKING:
    from workbench.library.entries import Entries
    from workbench.library.entry import Entry
    from workbench.workspace import Workspace


def entries_of(workspace: Workspace, application: str | None) -> Entries:
    """Return the entries of an application; default: those of the workspace."""
    return workspace.entries.of(application) if application else workspace.entries


def read_metadata(assignments: dict[str, str]) -> dict[str, Any]:
    """Return the values of ``key=value`` texts: numbers, True and False, and all else as text.

    >>> read_metadata({"val_error": "0.1", "family": "relu", "checked": "True"})
    {'val_error': 0.1, 'family': 'relu', 'checked': True}
    """
    return {key: _value(text) for key, text in assignments.items()}


def read_versions(text: str | None) -> int | str | list[int] | None:
    """Return the versions that a text names: ``3``, ``1,2`` or ``latest``.

    Raises
    ------
    InvalidInputError
        If it names none.
    """
    if text is None or text == "latest":
        return text
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInputError(
            f"version is {text!r}, expected a number such as 3, several such as 1,2, or latest."
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


def entries_words(
    entries: Entries,
    words: Sequence[str],
    *,
    kind: str | None = None,
    version: str | None = None,
    where: str | None = None,
    order: str = "-created",
    trash: bool = False,
    limit: int | None = None,
) -> Page[Entry]:
    """List entries as written on a line: a domain, and ``key=value`` that the metadata must have."""
    names, assignments = split_words(words)
    if len(names) > 1:
        raise InvalidInputError(f"{names[1]!r} is one domain too many. Name one, or none for all.")
    domain = names[0] if names else None
    found: dict[str, Any] = {"version": read_versions(version), "order": order, "limit": limit}
    if trash:
        if where or assignments:
            raise InvalidInputError("Metadata in the trash cannot be searched. Leave the conditions out.")
        return entries.list(domain, kind, trashed=True, **found)
    return entries.search(where, domain, kind, metadata=read_metadata(assignments), **found)


def add_words(
    entries: Entries,
    domain: str,
    words: Sequence[str],
    *,
    kind: str = "data",
    version: int | None = None,
    reference: bool = False,
    extend: bool = False,
    check: bool = True,
    made_by: str | None = None,
    dry_run: bool = False,
) -> list[Entry] | str:
    """Add files as written on a line: paths, and ``key=value`` for the metadata; or say what that would do."""
    files, assignments = _files_of(words)
    options: dict[str, Any] = {"version": version, "extend": extend, "check": check, "made_by": made_by}
    facts = read_metadata(assignments)
    added = entries.add(domain, files, kind, metadata=facts, copy=not reference, dry_run=dry_run, **options)
    if not dry_run:
        return added
    how = "by reference" if reference else "copied"
    return f"would add to {domain}/{kind} as version {added[0].version}, {how}: {', '.join(files)}"


def _files_of(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split words into files and ``key=value``: what is a file that is there counts as one, and patterns as what they match.

    Raises
    ------
    NotFoundError
        If a pattern matches nothing.
    InvalidInputError
        If no file is left.
    """
    files: list[str] = []
    rest: list[str] = []
    for word in words:
        found = [word] if Path(word).expanduser().is_file() else sorted(glob.glob(word))  # noqa: PTH207
        files += found
        rest += [] if found else [word]
    others, assignments = split_words(rest)
    missing = next((word for word in others if glob.has_magic(word)), None)
    if missing is not None:
        raise NotFoundError(f"No file matches {missing!r}.")
    if not files and not others:
        read = f" {rest[0]!r} was read as metadata, for there is no such file." if rest else ""
        raise InvalidInputError(f"There is no file to add.{read} Name one, such as run1.h5.")
    return files + others, assignments


def move_words(
    entries: Entries,
    refs: Sequence[str],
    *,
    back: bool = False,
    dry_run: bool = False,
    extend: bool = False,
    no_check: bool = False,
    **where: Any,
) -> list[Entry]:
    """Promote entries, or take their last promotion back."""
    given = [name for name, value in where.items() if value is not None]
    if back:
        given += [name for name, value in (("extend", extend), ("no-check", no_check)) if value]
        if given:
            raise InvalidInputError(f"--back goes to where they were. Leave --{given[0]} out.")
        return entries.move_back(refs, dry_run=dry_run)
    if not given:
        raise InvalidInputError(
            "Where to? Name --kind, --domain, --version or --folder, such as --kind data."
        )
    return entries.move(refs, dry_run=dry_run, extend=extend, check=not no_check, **where)


def named_words(
    entries: Entries,
    words: Sequence[str],
    *,
    where: str | None = None,
    domain: str | None = None,
    kind: str | None = None,
    version: str | None = None,
    trash: bool = False,
) -> list[Entry]:
    """Return the entries that a line names: by their names, or by what all of them fulfil; perhaps none.

    Raises
    ------
    InvalidInputError
        If it says neither, or both.
    """
    refs, assignments = split_words(words)
    is_filter = bool(assignments or where or domain or kind or version)
    if refs and is_filter:
        raise InvalidInputError(
            f"{refs[0]} names entries, and what they fulfil is said too. Leave one of them out, or name them as conditions: --domain, "
            "--kind, --version."
        )
    if not (refs or is_filter):
        raise InvalidInputError(
            "Name entries, such as eos/data@3, or say what they fulfil: --domain, --kind, --version, --where, KEY=VALUE."
        )
    if refs:
        found = [entry for ref in refs for entry in _of_name(entries, ref, trash)]
        return list({entry.id: entry for entry in found}.values())
    if not trash:
        metadata, versions = read_metadata(assignments), read_versions(version)
        return list(entries.search(where, domain, kind, version=versions, metadata=metadata).all())
    if where or assignments:
        raise InvalidInputError("Metadata in the trash cannot be searched. Leave the conditions out.")
    return list(entries.list(domain, kind, version=read_versions(version), trashed=True).all())


def change_words(
    entries: Entries,
    found: Sequence[Entry],
    *,
    restore: bool = False,
    purge: bool = False,
    force: bool = False,
) -> list[Entry]:
    """Put entries into the trash, take them out, or forget them for good; return what they are now, or were."""
    if restore and purge:
        raise InvalidInputError("--restore and --purge are opposites. Keep one.")
    if purge:
        entries.purge(found, force=force)
        return list(found)
    return entries.restore(found) if restore else entries.remove(found)


def versions_words(entries: Entries, domain: str, kind: str = "data") -> list[str]:
    """Return a line for each version, and one for the next."""
    lines = [f"{row['version']}  {', '.join(row['files'])}" for row in versions_table(entries, domain, kind)]
    return [*lines, f"the next one is {entries.next_version(domain, kind)}"]


def versions_table(entries: Entries, domain: str, kind: str = "data") -> Page[dict[str, Any]]:
    """Return a row for each version, with the name by which it is found, its files, their size in bytes, and its begin."""
    rows = [
        {
            "version": f"{domain}/{kind}@{number}",
            "files": tuple(entry.name for entry in some),
            "size": sum(entry.size for entry in some),
            "created": some[0].created,
        }
        for number, some in entries.versions(domain, kind, files=True).items()
        if some
    ]
    return Page(rows, lambda row: row, None, "versions", f"Add one: ws.entries.add({domain!r}, 'run1.h5').")


def export_words(entries: Entries, ref: str, path: str) -> list[Path]:
    """Copy the files of a name to a path, which is a folder where there are several, all or none; return where they are."""
    found, target = entries.find_all(ref), Path(path).expanduser()
    if len(found) > 1 and not target.is_dir():
        raise InvalidInputError(
            f"{ref!r} has {len(found)} files, and {path} is no folder. Make one, or name a file."
        )
    done: list[Path] = []
    try:
        for entry in found:
            done.append(entry.export(target))
    except BaseException:
        for made in done:
            made.unlink(missing_ok=True)
        raise
    return done


def verify_words(entries: Entries, refs: Sequence[str]) -> list[tuple[str, str]]:
    """Return for each file what it is called, and what is wrong with it, if anything."""
    found = []
    for entry in (entry for ref in refs for entry in entries.find_all(ref)):
        try:
            entry.verify()
            found.append((entry.ref, ""))
        except WorkbenchError as error:
            found.append((entry.ref, str(error)))
    return found


def _of_name(entries: Entries, ref: str, trash: bool) -> list[Entry]:
    if trash:
        try:
            return entries.find_all(ref, trashed=True)
        except NotFoundError:
            pass  # or it is not in the trash
    return entries.find_all(ref)


def _value(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, (int, float, str)) else text
