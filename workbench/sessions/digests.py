"""The digest of an item: of what an array means, and of the parts of everything else."""

from __future__ import annotations

from typing import Any

from workbench.sessions.segments import Segment


def content_digest(value: Any, segment: Segment) -> bytes:
    """Return the BLAKE3 digest of an item.

    Of an array it is over dtype, shape and values in C order, so that equal arrays have one digest however they lie in memory;
    of anything else over its pickle and its buffers.
    """
    import blake3

    hasher = blake3.blake3(max_threads=blake3.blake3.AUTO)
    if hasattr(value, "__array_interface__") and not value.dtype.hasobject:
        import numpy as np

        array = np.ascontiguousarray(value)
        hasher.update(
            f"{value.dtype.descr if value.dtype.names else value.dtype.str} {value.shape}\n".encode()
        )
        if array.nbytes:
            hasher.update(array.reshape(-1).view(np.uint8).data)
    else:
        hasher.update(segment.body)
        for buffer in (*segment.arrays, *segment.others):
            hasher.update(buffer)
    digest: bytes = hasher.digest()
    return digest
