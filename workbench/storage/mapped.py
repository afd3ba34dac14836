"""Arrays that are the bytes of a local file: mapped, not read. All processes share one set of pages."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: bytes below which reading is as cheap
LEAST_BYTES = 1 << 20


class _Pages:
    """A private mapping, and the array over it; it goes with the last array that has it.

    Python's own ``mmap`` would keep a file open for each: a stack of two thousand slices may not have as many.
    """

    def __init__(self, address: int, nbytes: int, interface: dict[str, Any]) -> None:
        self._address = address
        self._nbytes = nbytes
        self.__array_interface__ = interface

    def __del__(self) -> None:
        _library().munmap(ctypes.c_void_p(self._address), ctypes.c_size_t(self._nbytes))


@cache
def _library() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    ]
    return library


def map_array(path: Path, at: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return an array over the bytes of a file that begin at a position, or None where reading is the better way.

    It can be written to: what is changed becomes a page of this process alone, and the file stays as it is. The mapping lives
    as long as the array or a view of it, and keeps no file open.

    Parameters
    ----------
    path : Path
        A file that nobody changes or cuts.
    at : int
        Position of the first byte.
    shape : tuple of int
    dtype : dtype
        As the bytes lie in the file.
    """
    import numpy as np

    nbytes = math.prod(shape) * dtype.itemsize
    skipped = at % mmap.ALLOCATIONGRANULARITY
    # structured types are described by more than a letter: they are read
    if nbytes < LEAST_BYTES or at % dtype.alignment or dtype.names or not hasattr(mmap, "MAP_PRIVATE"):
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        access = mmap.PROT_READ | mmap.PROT_WRITE
        address = _library().mmap(None, skipped + nbytes, access, mmap.MAP_PRIVATE, descriptor, at - skipped)
    finally:
        os.close(descriptor)
    if address in {
        None,
        ctypes.c_void_p(-1).value,
    }:  # as many mappings as a process may have, or none on this file system
        return None
    interface = {
        "data": (address + skipped, False),
        "shape": shape,
        "typestr": dtype.str,
        "version": 3,
    }
    return np.asarray(_Pages(address, skipped + nbytes, interface))
