"""Arrays that are the bytes of a local file: mapped, not read. All processes share one set of pages."""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: bytes below which reading is as cheap
LEAST_BYTES = 1 << 18


def map_array(path: Path, at: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return an array over the bytes of a file that begin at a position, or None where reading is the better way.

    It can be written to: what is changed becomes a page of this process alone, and the file stays as it is. The mapping lives
    as long as the array or a view of it.

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

    count = math.prod(shape)
    nbytes = count * dtype.itemsize
    skipped = at % mmap.ALLOCATIONGRANULARITY
    if nbytes < LEAST_BYTES or at % dtype.alignment or not hasattr(mmap, "MAP_PRIVATE"):
        return None
    with path.open("rb") as file:
        pages = mmap.mmap(
            file.fileno(),
            skipped + nbytes,
            flags=mmap.MAP_PRIVATE,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
            offset=at - skipped,
        )
    return np.frombuffer(pages, dtype, count, skipped).reshape(shape)
