"""Arrays that runs have fetched, kept for the next run: by content, up to a budget of bytes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from cachetools import LRUCache
    from numpy.typing import NDArray


class DataCache:
    """Decoded arrays by the digest of their dataset and their key; the least recently used ones go first.

    For what cannot be mapped from a folder, arrays on S3 and compressed ones, and for small ones, where to open the file takes
    longer than to read it. Everyone gets a copy to write to. Safe to use from several threads.

    Parameters
    ----------
    budget : int
        Bytes; 0 keeps nothing.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.hits = 0
        self.misses = 0
        self._lock = threading.Lock()
        self._arrays: LRUCache[tuple[str, str], NDArray[np.generic]] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        with self._lock:
            return int(self._arrays.currsize) if self._arrays is not None else 0

    def __len__(self) -> int:
        return len(self._arrays) if self._arrays is not None else 0

    def get(self, digest: str, key: str) -> NDArray[np.generic] | None:
        """Return a copy of an array, or None."""
        with self._lock:
            array = self._arrays.get((digest, key)) if self._arrays is not None else None
            if array is None:
                self.misses += 1
                return None
            self.hits += 1
        return array.copy()

    def put(self, digest: str, key: str, array: NDArray[np.generic]) -> None:
        """Keep a copy of an array, unless it is larger than the budget."""
        if not 0 < array.nbytes <= self.budget or array.dtype.hasobject:
            return
        kept = array.copy()
        with self._lock:
            if self._arrays is None:
                from cachetools import LRUCache

                self._arrays = LRUCache(self.budget, lambda a: a.nbytes)
            self._arrays[digest, key] = kept

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._arrays = None
