"""An algorithm as one file: ``.wbalg``, a zip of its revisions, code, assets, and the records of the runs that name it.

``manifest.json`` says what the file holds, with the BLAKE3 digest and size of each part. Code, assets and arrays are stored without
compression, so none of them can be larger than the file.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from workbench.algorithms.package import SUFFIX
from workbench.errors import DamagedError, InvalidInputError, NotFoundError, UnsupportedError
from workbench.models import DatasetRecord, Record, Revision, RunRecord, now
from workbench.version import __version__

if TYPE_CHECKING:
    pass

KIND = "workbench algorithm"
FORMAT = 1
MANIFEST = "manifest.json"
MOST_TEXT = 256 << 20  # bytes of all that is compressed: records and logs
MOST_LOG = 1 << 20
_BLOCK = 4 << 20
_DIGEST = "[0-9a-f]{64}"
_ID = "[0-9a-z]{20}"
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError)
#: what may be in a file, and whether it is compressed
PARTS = {
    "packages": (rf"packages/{_DIGEST}\.zip", False),
    "assets": (rf"assets/{_DIGEST}", False),
    "objects": (rf"objects/{_DIGEST}\.h5", False),
    "runs": (rf"runs/{_ID}\.(json|log)", True),
    "datasets": (rf"datasets/{_ID}\.json", True),
    "environments": (r"environments/[0-9a-f]{32}\.(json|patch)", True),
}


class Part(Record):
    """One file in the archive."""

    digest: str
    size: int


class Manifest(Record):
    """What an archive holds: its ``manifest.json``."""

    kind: str = KIND
    format: int = FORMAT
    workbench: str = __version__
    created: str
    name: str
    revisions: tuple[Revision, ...]
    aliases: dict[str, str] = Field(default_factory=dict)
    parts: dict[str, Part] = Field(default_factory=dict)


class ArchiveWriter:
    """Writes an archive part by part.

    Parameters
    ----------
    path : path
        Replaced when all is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts: dict[str, Part] = {}
        self._temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")

    def __enter__(self) -> ArchiveWriter:
        self._zip = zipfile.ZipFile(self._temporary, "w", allowZip64=True)
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        self._zip.close()
        if kind is None:
            self._temporary.replace(self.path)
        else:
            self._temporary.unlink(missing_ok=True)

    def add(self, name: str, source: Any) -> None:
        """Add a part from bytes, text or an open file."""
        import io

        from blake3 import blake3

        if name in self.parts:
            return
        content = source.encode() if isinstance(source, str) else source
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        info = _info(name)
        hasher, size = blake3(), 0
        with self._zip.open(info, "w", force_zip64=True) as target:
            while block := file.read(_BLOCK):
                hasher.update(block)
                target.write(block)
                size += len(block)
        self.parts[name] = Part(digest=hasher.hexdigest(), size=size)

    def finish(self, name: str, revisions: Sequence[Revision], aliases: dict[str, str]) -> None:
        """Write the manifest: the last part."""
        manifest = Manifest(
            created=now().isoformat(),
            name=name,
            revisions=tuple(revisions),
            aliases=aliases,
            parts=self.parts,
        )
        self._zip.writestr(_info(MANIFEST), manifest.to_json())


class Archive:
    """An archive that was opened: it is ours, holds what it says and nothing else.

    Nothing is unpacked under a name that the file chooses, and nothing of it is executed.

    Parameters
    ----------
    path : path

    Raises
    ------
    NotFoundError
        If there is no such file.
    UnsupportedError
        If it is something else, or was written by a newer workbench.
    DamagedError
        If it is cut off, or holds other parts than its manifest says.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise NotFoundError(
                f"There is no file {self.path}. Write one: algorithm.export('denoise{SUFFIX}')."
            )
        try:
            self._zip = zipfile.ZipFile(self.path)
        except _UNREADABLE as error:
            raise UnsupportedError(
                f"{self.path} is no exported algorithm: it is no zip, or it is cut off. Write one: algorithm.export(...)."
            ) from error
        try:
            self._infos = self._checked_infos()
            self.manifest = self._read_manifest()
            self._check_parts()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def names(self, collection: str) -> list[str]:
        """Return the keys of the parts of a collection."""
        start = f"{collection}/"
        return [name.removeprefix(start) for name in self.manifest.parts if name.startswith(start)]

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a part; raise after the last block if it is not what the manifest says."""
        from blake3 import blake3

        part = self.manifest.parts[name]
        hasher, size = blake3(), 0
        try:
            with self._zip.open(self._infos[name]) as file:
                while block := file.read(_BLOCK):
                    size += len(block)
                    if size > part.size:
                        break
                    hasher.update(block)
                    yield block
        except _UNREADABLE as error:
            raise self._damaged(f"{name} cannot be read ({error})") from error
        if size != part.size or hasher.hexdigest() != part.digest:
            raise self._damaged(f"{name} is not what it was when it was exported")

    def read(self, name: str) -> bytes:
        """Return the content of a part."""
        return b"".join(self.blocks(name))

    def verify(self) -> None:
        """Read everything; raise if a part is not what the manifest says."""
        for name in self.manifest.parts:
            for _ in self.blocks(name):
                pass

    def unpack(self, name: str, target: Path) -> None:
        """Write a part to a file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for block in self.blocks(name):
                file.write(block)

    def runs(self) -> list[RunRecord]:
        """Return the records of the runs."""
        return self._records("runs", RunRecord)

    def datasets(self) -> list[DatasetRecord]:
        """Return the records of the datasets that they read and made."""
        return self._records("datasets", DatasetRecord)

    def _records(self, collection: str, type_: Any) -> list[Any]:
        found = []
        for key in self.names(collection):
            if key.endswith(".json"):
                try:
                    record = type_.model_validate_json(self.read(f"{collection}/{key}"))
                except ValueError as error:
                    raise self._damaged(f"{collection}/{key} is no record") from error
                if key != f"{record.id}.json":
                    raise self._damaged(f"{collection}/{key} holds the record of {record.id!r}")
                found.append(record)
        return found

    def _checked_infos(self) -> dict[str, zipfile.ZipInfo]:
        infos = self._zip.infolist()
        found = {info.filename: info for info in infos}
        if MANIFEST not in found:
            raise UnsupportedError(
                f"{self.path} is no exported algorithm, or it is cut off: it has no {MANIFEST}. Write one: algorithm.export(...)."
            )
        if len(found) != len(infos):
            raise self._damaged("a name is in it twice")
        text = stored = 0
        for name, info in found.items():
            compressed = _is_compressed(name)
            if compressed is None:
                raise self._damaged(f"{name!r} has no place in it")
            if info.flag_bits & 1:
                raise self._damaged(f"{name!r} is encrypted")
            if info.compress_type not in ((zipfile.ZIP_DEFLATED,) if compressed else (zipfile.ZIP_STORED,)):
                raise self._damaged(f"{name!r} is compressed as no export does it")
            text += info.file_size if compressed else 0
            stored += info.compress_size
        if text > MOST_TEXT:
            raise self._damaged(f"its records would be {text >> 20} MiB, at most {MOST_TEXT >> 20} are read")
        if stored > self.path.stat().st_size:
            raise self._damaged("its parts lie in each other")
        return found

    def _read_manifest(self) -> Manifest:
        try:
            found = json.loads(self._zip.read(MANIFEST))
            kind, format_ = found["kind"], found["format"]
        except (KeyError, TypeError, *_UNREADABLE) as error:
            raise self._damaged(f"{MANIFEST} cannot be read") from error
        if kind != KIND or not isinstance(format_, int) or format_ > FORMAT:
            raise UnsupportedError(
                f"{self.path} is a {kind!r} of format {format_!r}, expected {KIND!r} up to {FORMAT}. "
                "If a newer workbench wrote it, update: pip install -U jupyter-workbench."
            )
        try:
            return Manifest.model_validate(found)
        except ValueError as error:
            raise self._damaged(f"{MANIFEST} says what cannot be: {str(error).splitlines()[0]}") from error

    def _check_parts(self) -> None:
        manifest = self.manifest
        there = set(self._infos) - {MANIFEST}
        odd = sorted(there ^ set(manifest.parts))
        if odd:
            raise self._damaged(f"{MANIFEST} and the file differ in {odd[0]}")
        for name, part in manifest.parts.items():
            if self._infos[name].file_size != part.size:
                raise self._damaged(f"{name} has another size than {MANIFEST} says")
        if not manifest.revisions:
            raise self._damaged("it has no revision")
        for revision in manifest.revisions:
            if revision.name != manifest.name or not re.fullmatch(_ID, revision.id):
                raise self._damaged(f"it has a revision of {revision.ref} with the id {revision.id!r}")
            needed = [f"packages/{revision.package}.zip", *(f"assets/{d}" for d in revision.assets.values())]
            absent = [name for name in needed if name not in manifest.parts]
            if absent:
                raise self._damaged(f"{absent[0]}, which {revision.ref} needs, is not in it")

    def _damaged(self, what: str) -> DamagedError:
        return DamagedError(
            f"{self.path} was damaged or tampered with: {what}. Nothing was imported. Export it again."
        )


def checked_target(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Return the path of an archive to be written.

    Raises
    ------
    InvalidInputError, AlreadyExistsError
        For another suffix, an absent folder, or a file that is there.
    """
    from workbench.errors import AlreadyExistsError

    target = Path(path).expanduser()
    if target.suffix != SUFFIX:
        raise InvalidInputError(
            f"{target.name!r}: an algorithm is exported to a file {SUFFIX}, such as 'denoise{SUFFIX}'."
        )
    if not target.absolute().parent.is_dir():
        raise NotFoundError(f"There is no folder {target.absolute().parent}. Make it first.")
    if target.exists() and not overwrite:
        raise AlreadyExistsError(f"{target} is there already. Pass overwrite=True to replace it.")
    return target


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED if _is_compressed(name) else zipfile.ZIP_STORED
    info.external_attr = 0o644 << 16
    return info


def _is_compressed(name: str) -> bool | None:
    """Tell whether a part is compressed; None if there is no such part."""
    if name == MANIFEST:
        return True
    pattern, compressed = PARTS.get(name.partition("/")[0], ("(?!)", False))
    return compressed if re.fullmatch(pattern, name) else None
