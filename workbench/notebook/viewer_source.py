"""What a viewer's source holds, and one slice at a time out of it, however large it is."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from workbench.errors import InvalidDataError
from workbench.notebook.viewer_image import Array, limits_of, real, reduce

Region: TypeAlias = tuple[int, int, int, int]  # y0, x0, y1, x1 in pixels of the slice

KEPT_BYTES = 32 << 20  # decoded slices that are kept
WHOLE_SLICE_BYTES = 64 << 20  # larger slices of a file are read in bands and never kept whole
CHEAP_BYTES = 128 << 20  # an axis is offered when one slice along it touches no more of the file
SAMPLE_VALUES = 1 << 15  # values of one slice that enter percentiles and histogram
SAMPLE_SLICES = 9


class Arrays:
    """The pictures that a source holds, by key; a Dataset's file is opened when first read, and again after release."""

    def __init__(self, source: Any) -> None:
        self._files = ExitStack()
        self._file: Any = None
        self._dataset = None
        self.title = ""
        if isinstance(getattr(source, "keys", None), Mapping) and hasattr(source, "open"):
            self._dataset = source
            self.title = source.name or source.id
            arrays = {key: info for key, info in source.keys.items() if info.kind == "array"}
            self.keys = [key for key, info in arrays.items() if is_picture(info.shape, info.dtype)]
            self.what = "Its keys: " + ", ".join(f"{k} {i.shape} {i.dtype}" for k, i in arrays.items())
            return
        if not isinstance(getattr(source, "dtype", None), np.dtype) or not hasattr(source, "shape"):
            source = np.asarray(source)
        self._array = source
        self.keys = [""] if is_picture(source.shape, source.dtype) else []
        self.what = f"It has shape {tuple(source.shape)} and dtype {source.dtype}"
        if not source.shape:
            self.what += f", value {source[()]!s:.60}"

    def get(self, key: str) -> Any:
        """Return the array or HDF5 dataset of a key."""
        if self._dataset is None:
            return self._array
        if self._file is None:
            self._file = self._files.enter_context(self._dataset.open())
        return self._file[key]

    def release(self) -> None:
        """Close the file, if one is open."""
        self._file = None
        self._files.close()


def is_picture(shape: tuple[int, ...], dtype: Any) -> bool:
    """Tell whether an array can be shown: numbers or booleans, two axes or more, not empty."""
    try:
        return np.dtype(dtype).kind in "biufc" and layout_of(tuple(shape)) is not None
    except TypeError:
        return False


@dataclass(frozen=True)
class Layout:
    """How an array is cut into slices: leading axes (one slider runs over all), colour axis, height and width."""

    lead: tuple[int, ...]
    colour: Literal["", "first", "last"]
    height: int
    width: int


def layout_of(shape: tuple[int, ...], colour: bool | None = None) -> Layout | None:
    """Return how an array of this shape is shown, or None when it is no image (under two axes, or empty).

    Colour is three channels before height and width, or three or four after them; ``colour=False`` takes such an axis
    for slices, ``colour=True`` insists.

    >>> layout_of((40, 3, 64, 64))
    Layout(lead=(40,), colour='first', height=64, width=64)
    """
    if len(shape) < 2 or 0 in shape:
        return None
    if colour is not False and len(shape) >= 3:
        if shape[-3] == 3 and (colour or min(shape[-2:]) > 4):
            return Layout(shape[:-3], "first", shape[-2], shape[-1])
        if shape[-1] in (3, 4) and (colour or min(shape[-3:-1]) > 4):
            return Layout(shape[:-3], "last", shape[-3], shape[-2])
    if colour:
        raise InvalidDataError(
            f"Shape {shape} has no colour axis: expected 3 channels first (3, H, W), or 3 or 4 last (H, W, 3). "
            "Pass colour=None to show it in gray."
        )
    return Layout(shape[:-2], "", shape[-2], shape[-1])


class Slices:
    """One slice at a time out of an array that may be far larger than memory.

    Parameters
    ----------
    array : callable
        Returns the numpy array, memmap or h5py dataset; asked anew for each read, so a file may be closed in between.
    axis : int
        The axis the slider runs over, for a plain 3-D array; 0 elsewhere.
    colour : bool or None
        See :func:`layout_of`.
    """

    def __init__(self, array: Callable[[], Any], axis: int = 0, colour: bool | None = None) -> None:
        self._array = array
        first = array()
        self.shape: tuple[int, ...] = tuple(first.shape)
        self.dtype = np.dtype(first.dtype)
        layout = layout_of(self.shape, colour)
        if layout is None:
            raise InvalidDataError(f"An array of shape {self.shape} is no image.")
        self.lead, self.colour, self.height, self.width = (
            layout.lead,
            layout.colour,
            layout.height,
            layout.width,
        )
        self.in_memory = isinstance(first, np.ndarray)
        self.axis = axis
        if axis:
            rest = [length for i, length in enumerate(self.shape) if i != axis]
            self.lead, (self.height, self.width) = (self.shape[axis],), rest
        self.count = math.prod(self.lead)
        self.slice_nbytes = self.height * self.width * (3 if self.colour else 1) * self.dtype.itemsize
        self._planes: OrderedDict[int, Array] = OrderedDict()
        self._shrunk: OrderedDict[tuple[int, Region, int], Array] = OrderedDict()
        self._samples: OrderedDict[int, Array] = OrderedDict()
        self._limits: OrderedDict[tuple[int | None, tuple[float, ...]], tuple[float, float]] = OrderedDict()

    @property
    def frame(self) -> Region:
        """Return the region that is the whole slice."""
        return 0, 0, self.height, self.width

    def position(self, index: int) -> tuple[int, ...]:
        """Return the indices on the leading axes of slice number ``index``."""
        return tuple(int(i) for i in np.unravel_index(index, self.lead)) if self.lead else ()

    def _read(self, index: int, region: Region) -> Array:
        y0, x0, y1, x1 = region
        rows, columns, every = slice(y0, y1), slice(x0, x1), slice(None)
        where: tuple[Any, ...]
        if self.axis:
            where = (rows, index, columns) if self.axis == 1 else (rows, columns, index)
        elif self.colour == "first":
            where = (*self.position(index), every, rows, columns)
        else:
            where = (*self.position(index), rows, columns)
        part = np.asarray(self._array()[where])
        if self.colour == "first":
            part = np.moveaxis(part, 0, -1)
        return part[..., :3] if self.colour else part

    def load(self, index: int) -> Array | None:
        """Return slice ``index`` whole, from memory when it was read lately; None if it is too large for that."""
        if self.in_memory:
            return self._read(index, self.frame)
        if self.slice_nbytes > WHOLE_SLICE_BYTES:
            return None
        if index in self._planes:
            self._planes.move_to_end(index)
        else:
            self._planes[index] = self._read(index, self.frame)
            while len(self._planes) > max(2, KEPT_BYTES // self.slice_nbytes) or len(self._planes) > 16:
                self._planes.popitem(last=False)
        return self._planes[index]

    def view(self, index: int, region: Region, step: int, exact: bool = False) -> Array:
        """Return a region of a slice, every ``step`` x ``step`` block made one pixel; see :func:`reduce`."""
        key = (index, region, step)
        if key not in self._shrunk:
            y0, x0, y1, x1 = region
            plane = self.load(index)
            if plane is not None:
                shrunk = reduce(plane[y0:y1, x0:x1], step, exact)
            else:
                shrunk = self._view_in_bands(index, region, step, exact)
            self._shrunk[key] = shrunk
            while len(self._shrunk) > 3:
                self._shrunk.popitem(last=False)
        return self._shrunk[key]

    def _view_in_bands(self, index: int, region: Region, step: int, exact: bool) -> Array:
        y0, x0, y1, x1 = region
        row_nbytes = self.slice_nbytes // self.height
        rows = max(step, (16 << 20) // row_nbytes // step * step)
        starts = [y for y in range(y0, y1, rows) if y1 - y >= step or y == y0]
        return np.concatenate(
            [reduce(self._read(index, (y, x0, min(y + rows, y1), x1)), step, exact) for y in starts]
        )

    def value(self, index: int, y: int, x: int) -> Any:
        """Return the true value of one pixel: a number, or an array of channels."""
        plane = self._planes.get(index)
        return plane[y, x] if plane is not None else self._read(index, (y, x, y + 1, x + 1))[0, 0]

    def sample(self, index: int) -> Array:
        """Return up to about 33,000 finite values spread over slice ``index``, float64."""
        if index not in self._samples:
            plane = self.load(index)
            if plane is None:  # 32 rows in 8 places
                starts = [(2 * i + 1) * self.height // 16 for i in range(8)]
                bands = [self._read(index, (y, 0, min(y + 4, self.height), self.width)) for y in starts]
                plane = np.concatenate(bands)
            step = max(1, math.isqrt(plane.shape[0] * plane.shape[1] // SAMPLE_VALUES))
            values = real(plane[::step, ::step]).astype(np.float64).ravel()
            self._samples[index] = values[np.isfinite(values)]
            while len(self._samples) > 32:
                self._samples.popitem(last=False)
        return self._samples[index]

    def sampled_limits(self, index: int | None, percentiles: tuple[float, ...]) -> tuple[float, float]:
        """Return the values at two percentiles of slice ``index``, or of nine slices spread over the stack (None)."""
        key = (index, percentiles)
        if key not in self._limits:
            if index is None:
                chosen = np.unique(np.linspace(0, self.count - 1, min(SAMPLE_SLICES, self.count)).astype(int))
                sample = np.concatenate([self.sample(int(i)) for i in chosen])
            else:
                sample = self.sample(index)
            self._limits[key] = limits_of(sample, percentiles, self.dtype)
            while len(self._limits) > 64:
                self._limits.popitem(last=False)
        return self._limits[key]

    def axis_cost(self, axis: int) -> float:
        """Return about how many bytes of the file one slice along ``axis`` touches; 0 for an array in memory."""
        array = self._array()
        if isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
            return 0
        chunks = getattr(array, "chunks", None)
        if chunks:
            touched = [math.ceil(length / chunk) for length, chunk in zip(self.shape, chunks, strict=True)]
            touched[axis] = 1
            return float(math.prod(touched) * math.prod(chunks) * self.dtype.itemsize)
        n, rows, columns = self.shape
        row = max(4096, columns * self.dtype.itemsize)
        costs = (rows * row, n * row, n * rows * min(row, 4096))
        return float(costs[axis])


def looks_like_labels(slices: Slices) -> bool:
    """Tell whether integers of 32 or 64 bits are labels: none negative, mostly in patches of one value."""
    if slices.colour or slices.dtype.kind not in "iu" or slices.dtype.itemsize < 4:
        return False
    index, y, x = slices.count // 2, slices.height // 2, slices.width // 2
    part = slices.view(index, (max(0, y - 128), max(0, x - 128), y + 128, x + 128), 1, exact=True)
    return (
        bool(part.min() >= 0 and np.mean(part[:, 1:] == part[:, :-1]) > 0.5) if part.shape[1] > 1 else False
    )
