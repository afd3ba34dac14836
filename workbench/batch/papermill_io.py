"""``workbench://name.ipynb`` for papermill: templates and outputs in the current workspace (entry point ``papermill.io``).

And URLs of fsspec that papermill does not know by itself; it keeps its own way to S3, Azure, Google, HDFS and HTTP.

papermill imports this module whenever it is itself imported, so nothing heavy is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.storage.store import Store


class WorkbenchHandler:
    """Reads and writes notebooks in the workspace that ``workbench.current()`` gives."""

    @staticmethod
    def read(path: str) -> str:
        """Return the text of a notebook.

        Raises
        ------
        NotFoundError
            If it is not in the workspace; with near names.
        """
        from workbench.batch.surroundings import current

        return current().templates.read(path)

    @staticmethod
    def write(buf: str, path: str) -> str:
        """Keep a notebook; papermill writes the output anew after each cell."""
        from workbench.batch.places import COLLECTION, write_text

        store = _store()
        store.create_collections([COLLECTION])
        return write_text(path, buf, store)

    @staticmethod
    def listdir(path: str) -> list[str]:
        """Return the paths of what is kept under a prefix; the bare scheme lists all."""
        from workbench.batch.places import COLLECTION, SCHEME

        prefix = path.removeprefix(SCHEME).strip("/")
        prefix = f"{prefix}/" if prefix else ""
        return [f"{SCHEME}{info.key}" for info in _store().list(COLLECTION, prefix=prefix)]

    @staticmethod
    def pretty_path(path: str) -> str:
        """Return the path with the workspace it is in."""
        return f"{path} ({_store().url})"


class UrlHandler:
    """Reads and writes notebooks at any URL of fsspec."""

    @staticmethod
    def read(path: str) -> str:
        """Return the text of a notebook."""
        from workbench.batch.places import read_text

        return read_text(path)

    @staticmethod
    def write(buf: str, path: str) -> str:
        """Write a notebook, with the folders above it."""
        from workbench.batch.places import write_text

        return write_text(path, buf)

    @staticmethod
    def listdir(path: str) -> list[str]:
        """Return the URLs in a folder."""
        import fsspec

        system, folder = fsspec.core.url_to_fs(path)
        return [system.unstrip_protocol(name) for name in system.ls(folder, detail=False)]

    @staticmethod
    def pretty_path(path: str) -> str:
        """Return the URL."""
        return path


def _store() -> Store:
    from workbench.batch.surroundings import current

    return current().store
