"""Pictures out of slices: numpy in; levels, JPEG or PNG out.

A picture passes four steps: ``Slices.view`` reads one slice (or the part that is looked at), :func:`reduce` shrinks it
to the size of the screen, :func:`to_gray` maps the contrast limits to 0..255, :func:`encode` makes JPEG or PNG where
the way to the browser is slow. The browser colours the levels by a table, so colour map, inversion and mask opacity need
no new picture.

Measured for 2048 x 2048 uint16 on two cores: read from HDF5 5 ms, block mean 5 ms, gray 1.5 ms, JPEG 3 ms (PNG 43 ms,
WebP 69 ms at equal look). So packed pictures are JPEG, and PNG is kept for labels and for pixels shown one to one. A
browser on the same two cores takes 13 to 40 ms to open a JPEG, and 2 ms to colour the plain levels of the same picture.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

BINS = 128
WIDEST = 8e307  # so that the width between limits is a float too
MAPS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "gray": ((0, 0, 0), (255, 255, 255)),
    "viridis": ((68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142), (31, 158, 137), (53, 183, 121),
                (109, 205, 89), (180, 222, 44), (253, 231, 37)),
    "magma": ((0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122), (229, 80, 100), (251, 135, 97),
              (254, 194, 135), (252, 253, 191)),
    "hot": ((10, 0, 0), (128, 0, 0), (245, 0, 0), (255, 113, 0), (255, 228, 0), (255, 255, 124), (255, 255, 255)),
    "signed": ((33, 60, 150), (95, 141, 211), (178, 206, 235), (245, 245, 242), (243, 190, 166), (214, 104, 84), (148, 20, 40)),
}  # fmt: skip


def real(values: Array) -> Array:
    """Return values that can be shown: the magnitude of complex ones, 0 and 1 of booleans, others as they are."""
    if values.dtype.kind == "c":
        return np.abs(values)
    return values.view(np.uint8) if values.dtype.kind == "b" else values


def reduce(plane: Array, step: int, exact: bool = False) -> Array:
    """Shrink a slice by an integer factor: block mean, or one pixel of each block when ``exact`` (labels).

    Blocks over 4 x 4 are averaged over 3 x 3 of their pixels. Incomplete blocks at the far edges are left out.
    """
    if step <= 1:
        return plane if exact else real(plane)
    step_y, step_x = min(step, plane.shape[0]), min(step, plane.shape[1])
    height, width = plane.shape[0] // step_y, plane.shape[1] // step_x
    plane = plane[: height * step_y, : width * step_x]
    if exact:
        return plane[step_y // 2 :: step_y, step_x // 2 :: step_x].copy()
    wide = plane.dtype.kind in "iufc" and plane.dtype.itemsize > (8 if plane.dtype.kind == "c" else 4)
    kind: Any = np.float64 if wide or plane.dtype in (np.int32, np.uint32) else np.float32
    rows, columns = _taps(step_y), _taps(step_x)
    with np.errstate(all="ignore"):
        if step <= 4:  # whole rows first: they lie in a line
            tall = real(plane[::step_y]).astype(kind)
            for y in rows[1:]:
                tall += real(plane[y::step_y])
            mean = tall[:, ::step_x].copy()
            for x in columns[1:]:
                mean += tall[:, x::step_x]
        else:
            mean = np.zeros((height, width, *plane.shape[2:]), kind)
            for y in rows:
                for x in columns:
                    mean += real(plane[y::step_y, x::step_x])
        mean /= len(rows) * len(columns)
    return mean


def _taps(step: int) -> list[int]:
    return list(range(step)) if step <= 4 else [step // 6, step // 2, step - 1 - step // 6]


def limits_of(sample: Array, percentiles: Sequence[float], dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the contrast limits at two percentiles of a sample; 0 and 1 for booleans and where nothing is finite."""
    if dtype.kind == "b" or not sample.size:
        return 0.0, 1.0
    with np.errstate(over="ignore"):
        bottom, top = np.percentile(sample, percentiles)
    if bottom == top:  # sparse bright spots on a constant ground
        bottom, top = sample.min(), sample.max()
    return max(float(bottom), -WIDEST), min(float(top), WIDEST)


def histogram_of(sample: Array, low: float, high: float, whole: bool) -> tuple[Array, float, float]:
    """Return counts (uint32, up to 128 bins) and the outer edges; bins of whole numbers hold equally many of them."""
    bins = BINS
    if whole:
        low, high = math.floor(low), math.ceil(high)
        width = max(1, math.ceil((high - low + 1) / BINS))
        bins = max(1, math.ceil((high - low + 1) / width))
        low, high = low - 0.5, low - 0.5 + bins * width
    elif not high > low:
        low, high = low - 0.5, low + 0.5
    counts, _ = np.histogram(sample, bins, (low, high))
    return counts.astype(np.uint32), low, high


def to_gray(values: Array, low: float, high: float) -> NDArray[np.uint8]:
    """Map ``low``..``high`` to 0..255. NaN becomes 0; where low equals high, that value becomes mid-gray."""
    if high <= low:
        low, high = low - 0.5, low + 0.5
    with np.errstate(all="ignore"):
        if values.dtype.itemsize <= 2:
            gray = np.subtract(values, np.float32(low), dtype=np.float32)
        else:
            gray = (
                values - values.dtype.type(low)
                if values.dtype.kind == "f"
                else values.astype(np.float64) - low
            )
        gray *= gray.dtype.type(255.0 / (high - low))
        np.clip(gray, 0, 255, out=gray)
        missing = np.isnan(gray)
        if missing.any():
            gray[missing] = 0
        return gray.astype(np.uint8)


def to_label_index(labels: Array) -> NDArray[np.uint8]:
    """Map labels to 1..255 in turn, and 0 (no label) to 0; neighbours in number get different colours."""
    if labels.dtype.kind == "b":
        return labels.view(np.uint8)
    if labels.dtype.kind not in "iu":
        labels = np.nan_to_num(real(labels)).astype(np.int64)
    if labels.dtype == np.uint8:
        return labels
    if labels.min() >= 0 and labels.max() <= 255:
        return labels.astype(np.uint8)
    turned = (labels - 1) % 255 + 1
    return np.where(labels == 0, 0, turned).astype(np.uint8)


def encode(picture: NDArray[np.uint8], lossless: bool) -> tuple[str, bytes]:
    """Return the kind (``png`` or ``jpeg``) and the bytes of an 8-bit picture, (H, W) or (H, W, 3)."""
    from PIL import Image

    out = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    if lossless:
        image.save(out, "PNG", compress_level=1)
        return "png", out.getvalue()
    image.save(out, "JPEG", quality=92, subsampling=0)
    return "jpeg", out.getvalue()


@cache
def colour_tables() -> dict[str, NDArray[np.uint8]]:
    """Return each colour map as a table of 256 x 3 bytes; ``labels`` has black first, then 255 distinct colours."""
    tables = {}
    for name, stops in MAPS.items():
        at = np.linspace(0, 255, len(stops))
        tables[name] = np.stack(
            [np.interp(np.arange(256), at, c) for c in zip(*stops, strict=True)], 1
        ).round()
    number = np.arange(255)
    hue = (0.08 + number * 0.61803398875) % 1.0  # golden ratio: no two near numbers share a hue
    light = np.array([1.0, 0.82, 0.92])[number % 3]
    wheel = np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    colours = (0.34 + 0.62 * np.clip(wheel, 0, 1)) * light[:, None] * 255
    tables["labels"] = np.vstack([np.zeros((1, 3)), colours])
    return {name: table.astype(np.uint8) for name, table in tables.items()}
