"""Small datasets as the bytes of their files, made without the HDF5 library: what is equal in structure differs only in its arrays."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.models import KeyInfo
from workbench.storage.hdf5_layout import VERSION, place
from workbench.storage.values import Entry, Leaf, blocks, describe, flatten, header

SMALL = 1 << 20  # bytes below which a file is made in one piece
_MOST_SKELETONS = 16
_skeletons: dict[bytes, _Skeleton] = {}
_skeletons_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A small file as its bytes, with what `hdf5.write` returns."""

    digest: str
    keys: dict[str, KeyInfo]
    content: bytearray


def small_file(tree: Mapping[str, Any]) -> SmallFile | None:
    """Return the file that `hdf5.write` would make of a tree without compression, or None where it is not small.

    Raises
    ------
    InvalidDataError
        With the key, for what cannot be stored.
    """
    entries = flatten(tree)
    return small(entries) if is_small(entries) else None


def is_small(entries: list[Entry]) -> bool:
    """Tell whether a tree is small, and holds no texts, whose lengths differ where the structure is equal."""
    leaves = [e for e in entries if isinstance(e, Leaf)]
    return sum(e.array.nbytes for e in leaves) < SMALL and all(e.array.dtype.kind not in "OU" for e in leaves)


def small(entries: list[Entry]) -> SmallFile:
    """Return a small file; files of equal structure differ only in the bytes of their arrays."""
    import blake3

    head = header(entries)
    skeleton = _skeleton(head, entries)
    content = bytearray(skeleton.content)
    hasher = blake3.blake3(head)
    for entry, at in zip(entries, skeleton.places, strict=True):
        if isinstance(entry, Leaf):
            for block in blocks(entry.array):
                hasher.update(block.data)
                assert at is not None
                content[at : at + block.size] = block.data
                at += block.size
    return SmallFile(hasher.hexdigest(), dict(skeleton.keys), content)


@dataclass(frozen=True, slots=True)
class _Skeleton:
    """A file with room for its arrays, their places, and what its keys are."""

    content: bytes
    places: list[int | None]
    keys: dict[str, KeyInfo]


def _skeleton(head: bytes, entries: list[Entry]) -> _Skeleton:
    """Return the skeleton of a file. The library takes 1 ms to make one."""
    import h5py

    with _skeletons_lock:
        found = _skeletons.pop(head, None)
        if found is None:
            with h5py.File("skeleton", "w", driver="core", backing_store=False, libver=VERSION) as file:
                places = [place(file, entry, None) for entry in entries]
                file.flush()
                found = _Skeleton(file.id.get_file_image(), places, describe(entries))
        _skeletons[head] = found  # the last used come last
        if len(_skeletons) > _MOST_SKELETONS:
            del _skeletons[next(iter(_skeletons))]
    return found
