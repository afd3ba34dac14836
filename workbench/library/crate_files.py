"""The files of an RO-Crate, a folder or a ``.zip``, as its metadata describe them: nothing else is looked at, and all is checked."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from workbench.errors import DamagedError, NotFoundError, UnsupportedError

METADATA = "ro-crate-metadata.json"
MOST_TEXT = 256 << 20  # bytes of the metadata, and of one record or log
_BLOCK = 4 << 20
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError)


class CrateFiles:
    """A crate that was opened.

    Parameters
    ----------
    path : path
        A folder or a ``.zip``.

    Raises
    ------
    NotFoundError
        If there is nothing.
    UnsupportedError
        If it is no RO-Crate.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        if not path.exists():
            raise NotFoundError(f"There is no crate {path}. Write one: run.lineage().export('crate.zip').")
        if not path.is_dir():
            try:
                self._zip = zipfile.ZipFile(path)
            except _UNREADABLE as error:
                raise UnsupportedError(
                    f"{path} is no RO-Crate: it is no folder and no zip, or it is cut off."
                ) from error
        try:
            self._count = Counter(self._zip.namelist() if self._zip is not None else ())
            self._entities = self._described()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> CrateFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._zip is not None:
            self._zip.close()

    @property
    def names(self) -> list[str]:
        """The files that the metadata describe, sorted."""
        return sorted(self._entities)

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file; raise at its end if it is not what the metadata say.

        Raises
        ------
        DamagedError
            If it is gone, cut off or changed.
        """
        entity = self._entities[name]
        expected, size = entity.get("sha256"), entity.get("contentSize")
        if not isinstance(expected, str) or not isinstance(size, str) or not size.isdigit():
            raise UnsupportedError(
                f"{self.path} has no checksum of {name}: it was written by something else, or by an older workbench. "
                "Nothing was imported. Export it again."
            )
        hasher, read = hashlib.sha256(), 0
        with self._open(name) as file:
            while block := self._block(file, name):
                read += len(block)
                if read > int(size):
                    break
                hasher.update(block)
                yield block
        if read != int(size) or hasher.hexdigest() != expected:
            raise self.damaged(f"{name} is not what it was when it was exported")

    def read(self, name: str) -> bytes:
        """Return the content of a record or log."""
        found = bytearray()
        for block in self.blocks(name):
            found += block
            if len(found) > MOST_TEXT:
                raise self.damaged(f"{name} has more than {MOST_TEXT >> 20} MiB")
        return bytes(found)

    def verify(self, name: str) -> None:
        """Read a file to its end."""
        for _ in self.blocks(name):
            pass

    def damaged(self, what: str) -> DamagedError:
        """Return the error of a crate that was changed."""
        return DamagedError(
            f"{self.path} was damaged or tampered with: {what}. Nothing was imported. Export it again."
        )

    # -- inside

    def _described(self) -> dict[str, dict[str, Any]]:
        what = f"{self.path} is no RO-Crate"
        try:
            with self._open(METADATA) as file:
                found = json.loads(file.read(MOST_TEXT))["@graph"]
            return {entity["@id"]: entity for entity in found if "File" in entity["@type"]}
        except DamagedError as error:
            raise UnsupportedError(f"{what}: it has no {METADATA}.") from error
        except (KeyError, TypeError, *_UNREADABLE) as error:
            raise UnsupportedError(f"{what}: its {METADATA} cannot be read.") from error

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        gone = self.damaged(f"{name} is not in it")
        if self._zip is not None:
            if self._count[name] > 1:
                raise self.damaged(f"{name} is in it twice")
            try:
                file: Any = self._zip.open(name)
            except (KeyError, RuntimeError, *_UNREADABLE) as error:
                raise gone from error
        else:
            path = self.path / name
            if not path.is_file() or not path.resolve().is_relative_to(self.path.resolve()):
                raise gone
            file = path.open("rb")
        with file:
            yield file

    def _block(self, file: BinaryIO, name: str) -> bytes:
        try:
            return file.read(_BLOCK)
        except _UNREADABLE as error:
            raise self.damaged(f"{name} cannot be read ({error})") from error
