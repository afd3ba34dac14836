"""Arrays that are looked at and not changed, and know the digest of their content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class ReadOnlyArray(np.ndarray[Any, Any]):
    """An item of a session that was asked for with ``mode="r"``: no copy, read-only, with a ``digest``.

    What is computed from it is an array without a digest.
    """

    _digest: Callable[[], str] | None = None

    @property
    def digest(self) -> str | None:
        """BLAKE3 of dtype, shape and content; computed when it is first asked for, and remembered with the item."""
        return self._digest() if self._digest is not None else None

    def __array_finalize__(self, source: Any) -> None:
        self._digest = None

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if array.ndim == 0 else np.asarray(array)


def with_digest(array: Any, digest: Callable[[], str]) -> ReadOnlyArray:
    """Return a read-only view of an array that knows its digest."""
    view: ReadOnlyArray = array.view(ReadOnlyArray)
    view._digest = digest
    view.flags.writeable = False
    return view
