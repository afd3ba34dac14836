"""The files of entries: what each kind must be, what they are called, and where a file by reference lies."""

from __future__ import annotations

import json
import os
import socket
import uuid
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from workbench.errors import DamagedError, InvalidDataError, InvalidInputError, NotFoundError, did_you_mean
from workbench.models import EntryKind, now
from workbench.names import check_text

SUFFIXES = {EntryKind.DATA: ".h5", EntryKind.CANDIDATES: ".h5", EntryKind.MODELS: ".pt"}
_BLOCK = 1 << 20
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BITS = {
    **dict.fromkeys(["F64", "I64", "U64", "C64"], 64),
    **dict.fromkeys(["F32", "I32", "U32"], 32),
    **dict.fromkeys(["F16", "BF16", "I16", "U16"], 16),
    **dict.fromkeys(["F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"], 8),
}  # of a dtype in safetensors; those that are not here are taken as they are


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
    if not isinstance(file, (str, os.PathLike)):
        raise InvalidInputError(f"{file!r:.60} is no file. Name one by its path, such as 'run1.h5'.")
    path = Path(file).expanduser().absolute()
    if path.is_file():
        check_text(str(path), "The path of a file")
        return path
    if path.is_dir():
        raise InvalidInputError(f"{path} is a folder, and an entry is a file. Name the files in it.")
    if path.is_symlink():
        raise NotFoundError(f"There is no file {path}: it is a link to {path.readlink()}, which is gone.")
    if path.exists():
        raise InvalidInputError(
            f"{path} is no file with a content, but a device or a pipe. Write a file first."
        )
    if "://" in str(file):
        raise NotFoundError(
            f"There is no file {file}: it is a URL, and entries are files here. Fetch it first."
        )
    near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
    raise NotFoundError(f"There is no file {path}.{near}")


def check_file(path: Path, kind: EntryKind) -> None:
    """Raise if the file at a path is not what its kind says; see `check_content`."""
    with path.open("rb") as file:
        check_content(file, str(path), kind)


def check_content(file: BinaryIO, what: str, kind: EntryKind) -> None:
    """Raise if a file is not what its kind says: HDF5, or a model in TorchScript or safetensors.

    Parameters
    ----------
    file : file opened for reading
    what : str
        What it is called in messages.
    kind : EntryKind

    Raises
    ------
    InvalidDataError
        With what is wrong; nothing in the file is executed.
    """
    if kind is not EntryKind.MODELS:
        _check_hdf5(file, what, kind)
    elif zipfile.is_zipfile(file):
        _check_torchscript(file, what)
    else:
        _check_safetensors(file, what)


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
    path = path.parent.resolve() / path.name  # as the workspace is: either may be reached by a link
    if root is not None and path.is_relative_to(root.parent):
        return Path(os.path.relpath(path, root)).as_posix()
    return str(path)


def found_path(stored: str, root: Path | None) -> Path:
    """Return where a file by reference lies now."""
    return Path(os.path.normpath((root or Path()) / stored))


def _check_hdf5(file: BinaryIO, what: str, kind: EntryKind) -> None:
    import h5py

    size = file.seek(0, os.SEEK_END)
    if not any(_begins(file, start, _HDF5) for start in _hdf5_starts(size)):
        raise InvalidDataError(
            f"{what} is not HDF5, which {kind} are. Convert it, or pass check=False (--no-check) to take it as it is."
        )
    try:
        with h5py.File(file, "r") as opened:
            rows = {
                name: opened[name].shape[0]
                for name in ("inputs", "outputs")
                if isinstance(opened.get(name), h5py.Dataset) and opened[name].ndim
            }
    except (OSError, RuntimeError) as error:
        raise InvalidDataError(f"{what} is damaged HDF5: {error}. Write it again.") from error
    if len(set(rows.values())) > 1:
        raise InvalidDataError(
            f"{what} has {rows['inputs']} rows of inputs and {rows['outputs']} of outputs: they belong together, row by row."
        )


def _hdf5_starts(size: int) -> Iterator[int]:
    """Yield where HDF5 may begin, after a block of the user's own."""
    start = 0
    while start < size:
        yield start
        start = max(512, 2 * start)


def _begins(file: BinaryIO, start: int, mark: bytes) -> bool:
    file.seek(start)
    return file.read(len(mark)) == mark


def _check_torchscript(file: BinaryIO, what: str) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        raise InvalidDataError(f"{what} is a damaged archive: {error}. Save the model again.") from error
    if broken is not None:
        raise InvalidDataError(f"{what} is damaged in {broken}. Save the model again.")
    folder = names[0].partition("/")[0] if names else ""
    inside = {name.removeprefix(f"{folder}/") for name in names}
    has_code = any(name.startswith("code/") and name.endswith(".py") for name in inside)
    if not has_code or not {"data.pkl", "constants.pkl", "version"} <= inside:
        raise InvalidDataError(
            f"{what} is no TorchScript model, perhaps a pickled one. Save it with torch.jit.save or as safetensors; "
            "check=False (--no-check) takes it as it is."
        )


def _check_safetensors(file: BinaryIO, what: str) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, 100 << 20):
            raise ValueError("its header is longer than the file")
        header = json.loads(file.read(length))
        _check_tensors(header, size - 8 - length)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InvalidDataError(
            f"{what} is neither TorchScript nor safetensors ({error}). Save the model with torch.jit.save or as safetensors; "
            "check=False (--no-check) takes it as it is."
        ) from error


def _check_tensors(header: dict[str, Any], size: int) -> None:
    """Raise ValueError unless tensors fill the bytes one after the other, each with as many as its shape takes."""
    end = 0
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    for name, entry in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        if start != end:
            raise ValueError(f"tensor {name!r} begins at byte {start}, where {end} is expected")
        bits = _BITS.get(entry["dtype"])
        shape = entry["shape"]
        if any(not isinstance(n, int) or n < 0 for n in shape):
            raise ValueError(f"tensor {name!r} has the shape {shape}")
        if stop < start or (bits is not None and (stop - start) * 8 != bits * prod(shape)):
            raise ValueError(
                f"tensor {name!r} has {stop - start} bytes, which {entry['dtype']} {shape} does not take"
            )
        end = stop
    if end != size:
        raise ValueError("it is cut off, or longer than its tensors")


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
