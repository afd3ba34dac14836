"""What makes a place a workspace: its mark with the format, its collections, its catalog."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.catalog import is_current
from workbench.errors import DamagedError, ReadOnlyError, WorkspaceError
from workbench.models import now
from workbench.names import new_id
from workbench.settings import Settings
from workbench.storage.fsspec_store import FsspecStore

if TYPE_CHECKING:
    from workbench.catalog import Catalog

#: Version of what lies in the store. A newer one is refused, an older one is read.
FORMAT = 1
MARK = "workbench.json"
COLLECTIONS = (
    *("objects", "datasets", "packages", "assets", "algorithms", "runs", "forms", "environments"),
    *("templates", "files", "entries", "bundle-files"),
    *("bundles", "steps", "models", "links"),
    "code",  # new ones at the end: the last one shows whether a workspace has all
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the mark of a workspace says.

    Parameters
    ----------
    id : str
        Stays with the workspace wherever it is moved or copied. Empty where somebody wrote the mark by hand.
    is_new : bool
        This very call made it.
    """

    id: str
    is_new: bool = False


def claim(store: FsspecStore, settings: Settings) -> Mark:
    """Make the place a workspace, or check that it is one we can read; return its mark.

    Raises
    ------
    WorkspaceError
        If it is something else, or was written by a newer version; if it is to be made and the catalog in the settings is that of
        another one.
    """
    if store.is_local:
        _check_place(Path(store.root))
    mark = store.read_marker(MARK)
    if mark is None:
        if not store.is_empty():
            raise WorkspaceError(
                f"{store.url} is not a workspace and not empty (it has no {MARK}). "
                f"Open a folder of its own, for example {store.url.rstrip('/')}/workbench."
            )
        _check_free(store, settings)
        made = Mark(new_id(), is_new=True)
        says = {"format": FORMAT, "id": made.id, "created": now().isoformat()}
        # the mark first: whoever opens it at the same moment must not take our folders for something else
        if store.write_marker(MARK, json.dumps(says, indent=1).encode()):
            store.create_collections(COLLECTIONS)
            return made
        mark = store.read_marker(MARK)  # another process was quicker
    try:
        said = json.loads(mark or b"")
        found = said["format"]
    except (ValueError, KeyError, TypeError):
        raise WorkspaceError(
            f"{store.url}/{MARK} is damaged: it names no format. If this is a workspace, restore the file: "
            f'{{"format": {FORMAT}}}'
        ) from None
    if not isinstance(found, int) or found > FORMAT:
        raise WorkspaceError(
            f"Workspace {store.url} has format {found}, this version reads up to {FORMAT}: a newer workbench wrote it. "
            "Update: pip install -U jupyter-workbench."
        )
    if not store.collections_exist(COLLECTIONS[-1:])[0]:  # the last one made
        with contextlib.suppress(ReadOnlyError):  # what an older version made can still be read
            store.create_collections(COLLECTIONS)
    # before marks had an id, they had the microsecond in which they were made, which nobody need write now
    return Mark(str(said.get("id") or said.get("created") or ""))


def _check_place(root: Path) -> None:
    """Refuse a place where no folder can be."""
    if root.is_file():
        raise WorkspaceError(
            f"{root} is a file, and a workspace is a folder. Name a folder, such as {root.parent}/bench."
        )
    above = next((p for p in root.parents if p.exists()), None)
    if above is not None and not above.is_dir():
        raise WorkspaceError(f"{root} cannot be a workspace: {above} is a file. Name another folder.")


def _check_free(store: FsspecStore, settings: Settings) -> None:
    """Refuse a catalog that a workspace which is not there yet cannot have, before anything is made."""
    if settings.catalog is None:
        return
    from workbench.catalog.engine import parse_url

    url = parse_url(settings.catalog)
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).exists()):
        return  # perhaps in the folder that is to be made
    with _open(settings.catalog, settings) as catalog:
        known = catalog.workspace()
        # where the mark is there by now, another process has made the workspace: whose catalog it is shows when it is opened
        if known is not None and known[0] and store.read_marker(MARK) is None:
            raise _of_another(catalog, known[1], store)


def _of_another(catalog: Catalog, owner: str, store: FsspecStore) -> WorkspaceError:
    return WorkspaceError(
        f"The catalog {catalog.where} is that of another workspace, which was {owner} when it was filled; "
        f"{store.url} cannot share it. Give it an empty database: workbench.open({store.url!r}, catalog=...), or leave catalog out. "
        "If the other one is no more, empty this database first."
    )


@dataclass(frozen=True, slots=True)
class Index:
    """The catalog of a workspace, or how to open it.

    Parameters
    ----------
    catalog : Catalog, or a callable that opens it
    fill : callable, optional
        Does what is left to do before the catalog is used; takes the function that builds it anew from the store.
    """

    catalog: Catalog | Callable[[], Catalog]
    fill: Callable[[Callable[[], object]], None] | None = None


def open_index(store: FsspecStore, settings: Settings, mark: Mark) -> Index:
    """Open the catalog of a store: the one in the settings, else SQLite beside it.

    A file that is absent or damaged is built anew; a damaged one is kept under another name. One that is in order is opened
    on first use: the SQL library takes longer to import than all the rest of opening a workspace.
    """
    file = None if settings.catalog else _catalog_file(store)
    url = settings.catalog or ("sqlite://" if file is None else f"sqlite:///{file}")
    if file is not None and is_current(file, mark.id):
        return Index(lambda: _open(url, settings))
    catalog = _open(url, settings) if file is None else _open_file(file, url, settings)
    known = catalog.workspace()
    if known is not None and (mark.id in ("", known[0]) or (catalog.read_only and not known[0])):
        return Index(catalog)
    return Index(catalog, partial(_fill, catalog, store, mark, file))


def _fill(
    catalog: Catalog, store: FsspecStore, mark: Mark, file: Path | None, reindex: Callable[[], object]
) -> None:
    """Fill a catalog from the store, unless another process has done so meanwhile; note that it is of this workspace.

    Of a file beside the store it makes no difference whose it was. One that does not know is taken for ours.
    """
    from workbench.catalog.filling import lock_path

    # made by an older version that was killed while it filled the catalog
    is_partial = file is not None and lock_path(file).exists()
    with catalog.rebuild():
        known = catalog.workspace()
        if known is not None and known[0] == mark.id:
            return
        if known is not None and known[0] and file is None:
            raise _of_another(catalog, known[1], store)
        if known is None and mark.is_new:
            pass  # there is nothing yet
        elif known is None or known[0] or is_partial:
            reindex()
        catalog.note_workspace(mark.id, store.url)


def _open_file(file: Path, url: str, settings: Settings) -> Catalog:
    """Open the catalog in a file of ours; keep a damaged one aside and begin a new one."""
    inode = file.stat().st_ino if file.exists() else None
    try:
        return _open(url, settings)
    except DamagedError as error:
        from workbench.catalog import Catalog

        aside = Catalog.set_aside(url, inode)
        if aside is not None:  # else another process has done so
            warnings.warn(f"{error} It was kept as {aside} and built anew from the store.", stacklevel=4)
        return _open(url, settings)


def _open(url: str, settings: Settings) -> Catalog:
    from workbench.catalog import Catalog

    return Catalog.open(url, durability=settings.durability)


def _catalog_file(store: FsspecStore) -> Path | None:
    """Return where the catalog lies: in the folder, or privately in the user's cache; None for a store in memory."""
    if store.is_local:
        return Path(store.root) / "catalog.sqlite"
    if not store.is_shared:
        return None
    import platformdirs
    from blake3 import blake3

    folder = Path(platformdirs.user_cache_dir("workbench", appauthor=False)) / "catalogs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{blake3(store.url.encode()).hexdigest()[:24]}.sqlite"
