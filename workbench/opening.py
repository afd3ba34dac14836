"""What makes a place a workspace: its mark with the format, its collections, its catalog."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.catalog import is_current
from workbench.errors import DamagedError, ReadOnlyError, WorkspaceError
from workbench.models import now
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
    *("bundles", "steps", "models"),
    "links",  # new ones at the end: the last one shows whether a workspace has all
)


def claim(store: FsspecStore) -> bool:
    """Make the place a workspace, or check that it is one we can read; return True if it is new.

    Raises
    ------
    WorkspaceError
        If it is something else, or was written by a newer version.
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
        # the mark first: whoever opens it at the same moment must not take our folders for something else
        store.write_marker(
            MARK, json.dumps({"format": FORMAT, "created": now().isoformat()}, indent=1).encode()
        )
        store.create_collections(COLLECTIONS)
        return True
    try:
        found = json.loads(mark)["format"]
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
    return False


def _check_place(root: Path) -> None:
    """Refuse a place where no folder can be."""
    if root.is_file():
        raise WorkspaceError(
            f"{root} is a file, and a workspace is a folder. Name a folder, such as {root.parent}/bench."
        )
    above = next((p for p in root.parents if p.exists()), None)
    if above is not None and not above.is_dir():
        raise WorkspaceError(f"{root} cannot be a workspace: {above} is a file. Name another folder.")


@dataclass(frozen=True, slots=True)
class Index:
    """The catalog, or how to open it, and whether it must be filled from the store before it is used."""

    catalog: Catalog | Callable[[], Catalog]
    must_fill: bool
    unfilled: Path | None  # stands on disk while a catalog is being filled, so that a kill is noticed

    def filled(self) -> None:
        """Note that the catalog holds what the store holds."""
        if self.unfilled is not None:
            self.unfilled.unlink(missing_ok=True)


def open_index(store: FsspecStore, settings: Settings, is_new: bool) -> Index:
    """Open the catalog of a store: the one in the settings, else SQLite beside it.

    A file that is absent, damaged or half filled is built anew; a damaged one is kept under another name. One that is in
    order is opened on first use: the SQL library takes longer to import than all the rest of opening a workspace.
    """
    file = None if settings.catalog else _catalog_file(store)
    url = settings.catalog or ("sqlite://" if file is None else f"sqlite:///{file}")
    unfilled = None if file is None else file.with_name(f"{file.name}.filling")
    must_fill = unfilled is not None and unfilled.exists()
    if file is not None and not must_fill and is_current(file):
        return Index(lambda: _open(url, settings), False, None)
    if file is not None and unfilled is not None and not is_new and not file.exists():
        unfilled.touch()
    try:
        catalog = _open(url, settings)
    except DamagedError as error:
        if file is None or unfilled is None:
            raise
        unfilled.touch()
        from workbench.catalog import Catalog

        aside = Catalog.set_aside(url)
        warnings.warn(f"{error} It was kept as {aside} and built anew from the store.", stacklevel=3)
        catalog = _open(url, settings)
    return Index(catalog, must_fill or (catalog.is_new and not is_new), unfilled)


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
