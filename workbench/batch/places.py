"""Texts at local paths, any fsspec URL, or in the workspace (``workbench://name.ipynb``)."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.errors import InvalidInputError, NotFoundError, ReadOnlyError, StorageError
from workbench.names import check_key
from workbench.storage.store import Store

SCHEME = "workbench://"
COLLECTION = "templates"


def is_url(place: str) -> bool:
    """Tell whether a text is a URL and no local path."""
    return "://" in place


def key_of(place: str) -> str:
    """Return the key in the workspace that ``workbench://key`` names, with the suffix of notebooks.

    >>> key_of("workbench://nightly")
    'nightly.ipynb'
    """
    key = check_key(place.removeprefix(SCHEME), "Template name")
    return key if Path(key).suffix else f"{key}.ipynb"


def read_text(place: str | os.PathLike[str], store: Store | None = None) -> str:
    """Return the text that lies at a place.

    Raises
    ------
    NotFoundError
        If there is nothing.
    StorageError
        If it cannot be read.
    InvalidInputError
        For ``workbench://`` without a workspace.
    """
    text = os.fspath(place)
    if text.startswith(SCHEME):
        return _store(text, store).get(COLLECTION, key_of(text)).decode()
    try:
        if not is_url(text):
            return Path(text).expanduser().read_text(encoding="utf-8")
        import fsspec

        with fsspec.open(text, "r", encoding="utf-8") as file:
            return str(file.read())
    except (FileNotFoundError, IsADirectoryError) as error:
        near = _near(text)
        raise NotFoundError(f"There is no file {text}.{near} Check the path or URL.") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{text} is no text in UTF-8: {error}. Is it the right file?") from error
    except (OSError, ImportError, ValueError) as error:
        raise StorageError(f"{text} cannot be read: {type(error).__name__}: {error}.") from error


def write_text(place: str | os.PathLike[str], content: str, store: Store | None = None) -> str:
    """Write a text to a place, with the folders above it, and return where it lies.

    Raises
    ------
    ReadOnlyError, StorageError
        If the place does not take it.
    """
    text = os.fspath(place)
    if text.startswith(SCHEME):
        _store(text, store).put(COLLECTION, key_of(text), content)
        return text
    try:
        if not is_url(text):
            path = Path(text).expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
            # beside it first: a reader sees the old text or the new one, never a part
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            try:
                part.write_text(content, encoding="utf-8")
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            return text
        import fsspec

        system, path_ = fsspec.core.url_to_fs(text)
        system.makedirs(path_.rpartition("/")[0], exist_ok=True)
        with system.open(path_, "w", encoding="utf-8") as file:
            file.write(content)
    except PermissionError as error:
        raise ReadOnlyError(f"{text} cannot be written: {error}. Choose another place for it.") from error
    except (OSError, ImportError, ValueError) as error:
        raise StorageError(f"{text} cannot be written: {type(error).__name__}: {error}.") from error
    return text


def check_writable(place: str | os.PathLike[str]) -> None:
    """Refuse a local file or folder that could not be written, before work is done that ends there.

    Raises
    ------
    ReadOnlyError
        With the folder that takes no file.
    """
    import tempfile

    path = Path(place).expanduser()
    if is_url(os.fspath(place)):
        return
    folder = path if path.is_dir() else path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ReadOnlyError(
            f"{place} cannot be written: {folder} takes no file ({error.strerror}). Choose another place for it."
        ) from error


def exists(place: str | os.PathLike[str], store: Store | None = None) -> bool:
    """Tell whether something lies at a place."""
    text = os.fspath(place)
    if text.startswith(SCHEME):
        kept = _store(text, store)
        return all(kept.collections_exist([COLLECTION])) and all(kept.exist(COLLECTION, [key_of(text)]))
    if not is_url(text):
        return Path(text).expanduser().exists()
    import fsspec

    system, path = fsspec.core.url_to_fs(text)
    return bool(system.exists(path))


def join(place: str | os.PathLike[str], *names: str) -> str:
    """Return the place of a file in a folder, be it a path or a URL."""
    text = os.fspath(place)
    return "/".join([text.rstrip("/"), *names]) if is_url(text) else str(Path(text).joinpath(*names))


def _store(place: str, store: Store | None) -> Store:
    if store is None:
        raise InvalidInputError(
            f"{place} is in a workspace, and none was given. Open one: workbench.open('data/bench')."
        )
    return store


def _near(text: str) -> str:
    if is_url(text):
        return ""
    from workbench.errors import did_you_mean

    path = Path(text).expanduser()
    folder = path.parent
    return did_you_mean(path.name, [p.name for p in folder.glob("*.ipynb")]) if folder.is_dir() else ""
