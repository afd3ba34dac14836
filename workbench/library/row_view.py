"""Many HDF5 files as one array: their rows one after the other, read when they are asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import DamagedError, InvalidDataError, NotFoundError, did_you_mean

if TYPE_CHECKING:
    import h5py

    Open = Callable[[], AbstractContextManager[h5py.File]]


class RowView:
    """The rows of one key in many HDF5 files; ``view[10:20, 0]`` reads nothing else.

    Parameters
    ----------
    sources : sequence of (name, open)
        What a file is called in messages, and how to open it.
    key : str
        Path of the dataset in each file.

    Attributes
    ----------
    shape : tuple of int
        Rows of all files, then the shape of a row.
    dtype : dtype
    starts : list of int
        The row with which each file begins.

    Raises
    ------
    NotFoundError
        If a file lacks the key.
    InvalidDataError
        If rows differ in shape or dtype, with the two files.
    DamagedError
        Later, when a file has other rows than before.
    """

    def __init__(self, sources: Sequence[tuple[str, Open]], key: str) -> None:
        self.key = key
        self._sources = list(sources)
        self.starts: list[int] = []
        rows, row_shape, dtype = 0, (), np.dtype(float)
        for i, (name, open_file) in enumerate(self._sources):
            with open_file() as file:
                found = file.get(key)
                if found is None or not hasattr(found, "shape") or not found.shape:
                    keys = [k for k, v in file.items() if getattr(v, "shape", ())]
                    raise NotFoundError(
                        f"{name} has no rows of {key!r}.{did_you_mean(key, keys)} It has {', '.join(keys) or 'none'}."
                    )
                shape = found.shape[1:]
                if i == 0:
                    row_shape, dtype = shape, found.dtype
                elif shape != row_shape or found.dtype != dtype:
                    raise InvalidDataError(
                        f"{key!r} has rows of shape {shape} and {found.dtype} in {name}, and of shape {row_shape} and {dtype} "
                        f"in {self._sources[0][0]}. Leave one out: name versions that belong together.",
                        key=key,
                    )
                self.starts.append(rows)
                rows += found.shape[0]
        self.shape: tuple[int, ...] = (rows, *row_shape)
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        for i, start in enumerate(self.starts):
            yield from self._read(i, slice(0, self._end(i) - start), ())

    def __getitem__(self, index: Any) -> Any:
        index = index if isinstance(index, tuple) else (index,)
        if index and index[0] is Ellipsis:
            index = (slice(None), *((Ellipsis,) if len(index) > 1 else ()), *index[1:])
        first, rest = (index[0], index[1:]) if index else (slice(None), ())
        if not all(_is_plain(part) for part in rest):
            # only numpy knows what arrays and steps back mean together: the rows that are asked for are read whole
            whole, local = self._rows_of(first)
            return whole[(local, *rest)]
        if isinstance(first, slice):
            rows = range(*first.indices(len(self)))
            forward = rows if rows.step > 0 else rows[::-1]
            read = self._slice(forward, rest)
            return read if rows.step > 0 else read[::-1]
        at = self._numbers(first)
        if at.ndim == 0:
            i = bisect_right(self.starts, int(at)) - 1
            return self._read(i, int(at) - self.starts[i], rest)
        return self._chosen(at, rest)

    def _rows_of(self, first: Any) -> tuple[np.ndarray, Any]:
        """Return whole rows, and the index that chooses among them as the first one does among all."""
        if isinstance(first, slice):
            return self[first], slice(None)
        at = self._numbers(first)
        if at.ndim == 0:
            return self[int(at) : int(at) + 1], 0
        return self._chosen(at, ()), np.arange(len(at))

    def _numbers(self, first: Any) -> np.ndarray:
        """Return the numbers of the rows that a number, a mask or a list of numbers chooses."""
        wanted = np.asarray(first)
        if wanted.dtype == bool:
            if wanted.shape != (len(self),):
                raise IndexError(f"a mask of {wanted.shape} cannot choose among {len(self)} rows")
            wanted = np.flatnonzero(wanted)
        if wanted.size == 0:
            wanted = wanted.astype(np.int64)
        if wanted.ndim > 1 or wanted.dtype.kind not in "iu":
            raise IndexError(
                f"rows are chosen by a number, a slice, a mask or a list of numbers, not by {first!r:.60}"
            )
        at = np.where(wanted < 0, wanted + len(self), wanted)
        if at.size and (at.min() < 0 or at.max() >= len(self)):
            raise IndexError(f"row {first!r:.60} is out of range: there are {len(self)}")
        return at

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        read = np.asarray(self[:])
        return read if dtype is None else read.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"RowView {self.key!r} {self.shape} {self.dtype} of {len(self._sources)} files"

    def _end(self, i: int) -> int:
        return self.starts[i + 1] if i + 1 < len(self.starts) else self.shape[0]

    def _slice(self, rows: range, rest: tuple[Any, ...]) -> np.ndarray:
        parts = []
        for i, start in enumerate(self.starts):
            end = self._end(i)
            skipped = max(
                0, -(-(start - rows.start) // rows.step)
            )  # of the rows, those in files before this one
            inside = rows[skipped:]
            stop = min(end, rows.stop)
            if inside and inside[0] < stop:
                parts.append(self._read(i, slice(inside[0] - start, stop - start, rows.step), rest))
        if not parts:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _chosen(self, at: np.ndarray, rest: tuple[Any, ...]) -> np.ndarray:
        files = np.searchsorted(self.starts, at, side="right") - 1
        out: np.ndarray | None = None
        for i in np.unique(files):
            places = np.flatnonzero(files == i)
            rows, back = np.unique(
                at[places] - self.starts[i], return_inverse=True
            )  # h5py wants them in order, once
            read = self._read(int(i), rows, ())[(slice(None), *rest)][back]
            if out is None:
                out = np.empty((len(at), *read.shape[1:]), self.dtype)
            out[places] = read
        return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)] if out is None else out

    def _read(self, i: int, rows: Any, rest: tuple[Any, ...]) -> np.ndarray:
        name, open_file = self._sources[i]
        with open_file() as file:
            found = file.get(self.key)
            count = self._end(i) - self.starts[i]
            expected = (count, *self.shape[1:])
            if getattr(found, "shape", None) != expected or found.dtype != self.dtype:
                raise DamagedError(
                    f"{name} was rewritten since the view was made: it had {count} rows of {self.key!r}. Make the view again."
                )
            return found[(rows, *rest)]  # type: ignore[no-any-return]


def _is_plain(part: Any) -> bool:
    """Tell whether HDF5 reads it as numpy does: a number, or a slice that goes on."""
    if isinstance(part, slice):
        return part.step is None or part.step > 0
    return part is Ellipsis or (isinstance(part, (int, np.integer)) and not isinstance(part, bool))
