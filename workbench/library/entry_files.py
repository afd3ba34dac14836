"""The files of entries: what each kind must be, what they are called, and where a file by reference lies."""

from __future__ import annotations

import json
import os
import socket
import uuid
import zipfile
from pathlib import Path
from typing import BinaryIO

from workbench.errors import DamagedError, InvalidDataError, InvalidInputError, NotFoundError, did_you_mean
from workbench.models import EntryKind, now

SUFFIXES = {EntryKind.DATA: ".h5", EntryKind.CANDIDATES: ".h5", EntryKind.MODELS: ".pt"}
_BLOCK = 1 << 20


def checked_kind(kind: object) -> EntryKind:
    """Return the kind.

    Raises
    ------
    InvalidInputError
        With the known ones.
    """
    known = [str(member) for member in EntryKind]
    if isinstance(kind, str) and kind in known:
        return EntryKind(kind)
    raise InvalidInputError(
        f"kind is {kind!r}, expected one of {', '.join(known)}.{did_you_mean(str(kind), known)}"
    )


def checked_file(file: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file that is there.

    Raises
    ------
    NotFoundError, InvalidInputError
        If there is none, or if it is a folder.
    """
    path = Path(file).expanduser().absolute()
    if path.is_file():
        return path
    if path.is_dir():
        raise InvalidInputError(f"{path} is a folder, and an entry is a file. Name the files in it.")
    near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
    raise NotFoundError(f"There is no file {path}.{near}")


def check_content(path: Path, kind: EntryKind) -> None:
    """Raise if a file is not what its kind says: HDF5, or a model in TorchScript or safetensors.

    Raises
    ------
    InvalidDataError
        With what is wrong; nothing in the file is executed.
    """
    if kind is not EntryKind.MODELS:
        _check_hdf5(path, kind)
    elif zipfile.is_zipfile(path):
        _check_torchscript(path)
    else:
        _check_safetensors(path)


def digest_of(path: Path) -> str:
    """Return the BLAKE3 digest of a file's content."""
    import blake3

    if path.stat().st_size < _BLOCK:  # threads and mappings would take longer
        return str(blake3.blake3(path.read_bytes()).hexdigest())
    hasher = blake3.blake3(max_threads=blake3.blake3.AUTO)
    return str(hasher.update_mmap(path).hexdigest())


def digest_of_bytes(content: bytes) -> str:
    """Return the BLAKE3 digest of a small content."""
    import blake3

    return str(blake3.blake3(content).hexdigest())


def suggested_name(kind: EntryKind, domain: str | None = None) -> str:
    """Return a name for a new file that no other one has: domain, something random, machine and time."""
    time = now().strftime("%Y-%m-%dT%H-%M-%S-%f")
    words = [domain] if domain else []
    return "_".join([*words, uuid.uuid4().hex, socket.gethostname(), time]) + SUFFIXES[kind]


def stored_path(path: Path, root: Path | None) -> str:
    """Return a path as it is kept: relative to the workspace if it lies in or beside it, so that both can be moved."""
    if root is not None and path.is_relative_to(root.parent):
        return Path(os.path.relpath(path, root)).as_posix()
    return str(path)


def found_path(stored: str, root: Path | None) -> Path:
    """Return where a file by reference lies now."""
    return Path(os.path.normpath((root or Path()) / stored))


def _check_hdf5(path: Path, kind: EntryKind) -> None:
    import h5py

    if not h5py.is_hdf5(path):
        raise InvalidDataError(
            f"{path} is not HDF5, which {kind} are. Convert it, or pass check=False to keep it as it is."
        )
    try:
        with h5py.File(path, "r") as file:
            rows = {
                name: file[name].shape[0]
                for name in ("inputs", "outputs")
                if isinstance(file.get(name), h5py.Dataset) and file[name].ndim
            }
    except (OSError, RuntimeError) as error:
        raise InvalidDataError(f"{path} is damaged HDF5: {error}. Write it again.") from error
    if len(set(rows.values())) > 1:
        raise InvalidDataError(
            f"{path} has {rows['inputs']} rows of inputs and {rows['outputs']} of outputs: they belong together, row by row."
        )


def _check_torchscript(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as file:
            names = {name.partition("/")[2] for name in file.namelist()}
            broken = file.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        raise InvalidDataError(f"{path} is a damaged archive: {error}. Save the model again.") from error
    if broken is not None:
        raise InvalidDataError(f"{path} is damaged in {broken}. Save the model again.")
    if "constants.pkl" not in names or not any(name.startswith("code/") for name in names):
        raise InvalidDataError(
            f"{path} is no TorchScript model, perhaps a pickled one. Save it with torch.jit.save or as safetensors; "
            "check=False keeps it as it is."
        )


def _check_safetensors(path: Path) -> None:
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, 100 << 20):
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if max(ends, default=0) != size - 8 - length:
            raise ValueError("it is cut off, or longer than its tensors")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InvalidDataError(
            f"{path} is neither TorchScript nor safetensors ({error}). Save the model with torch.jit.save or as safetensors; "
            "check=False keeps it as it is."
        ) from error


def check_digest(path: Path, digest: str, what: str) -> None:
    """Raise if a file's content is no longer what it was.

    Raises
    ------
    DamagedError
        With both digests.
    """
    if not path.is_file():
        raise DamagedError(f"The file of {what} is gone: {path}. Restore it, or remove the entry.")
    found = digest_of(path)
    if found != digest:
        raise DamagedError(
            f"The file of {what} is not what was added: {path} has the digest {found[:16]}…, expected {digest[:16]}…. "
            "Restore it from a backup, or add it again as a new version."
        )


def check_stream(file: BinaryIO, digest: str, what: str, out: BinaryIO | None = None) -> None:
    """Read a file to its end, which may be copied on the way; raise if it is no longer what it was.

    Raises
    ------
    DamagedError
        After all was read.
    """
    import blake3

    hasher = blake3.blake3()
    while block := file.read(8 * _BLOCK):
        hasher.update(block)
        if out is not None:
            out.write(block)
    if hasher.hexdigest() != digest:
        raise DamagedError(
            f"The file of {what} is not what was added. Restore it from a backup, or add it again."
        )
