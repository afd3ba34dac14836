"""Small pictures of arrays: what a dataset shows of itself. pillow and numpy, nothing else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZE = 256  # px, the longer side of a picture
_VISIBLE, _THIN = 96, 8  # px that a small picture is enlarged to, and the least of a thin one
_WHOLE = 16 << 20  # bytes of a plane that is read whole; of a larger one every n-th row
_LABELS = {"mask", "masks", "label", "labels", "segmentation"}
_LINE = (76, 141, 214, 255)  # reads well on white and on black


def picture(source: Any, key: str = "", size: int = SIZE) -> bytes | None:
    """Return an array as PNG bytes, or None where there is nothing to draw.

    Planes are shown between their 1st and 99th percentile; of a stack the middle slice; (3, H, W) in colour; masks and
    labels in one colour each; one axis as a line. Where values are NaN or infinite the picture is transparent.

    Parameters
    ----------
    source : ndarray or h5py.Dataset
        Only what is needed is read of it.
    key : str
        Its key: ``mask`` and ``labels`` are drawn as labels, ``image`` of shape (3, H, W) in colour.
    size : int
        Pixels of the longer side.
    """
    import numpy as np

    dtype = np.dtype(source.dtype)
    if dtype.kind not in "biufc" or not source.shape or 0 in source.shape:
        return None
    if len(source.shape) == 1:
        return _png(_line(_reduced(source[:: max(1, source.shape[0] // (8 * size))]), size))
    as_labels = dtype.kind == "b" or (key in _LABELS and dtype.kind in "iu")
    is_colour = key == "image" and len(source.shape) == 3 and source.shape[0] == 3
    if is_colour:
        planes = [_plane(source, (c,), size, as_labels) for c in range(3)]
        return _png(_colour(np.stack(planes, -1), (0, 255) if dtype == np.uint8 else None))
    middle = tuple(n // 2 for n in source.shape[:-2])
    plane = _plane(source, middle, size, as_labels)
    return _png(_labels(plane) if as_labels else _grey(plane))


def _plane(source: Any, index: tuple[int, ...], size: int, as_labels: bool) -> NDArray[Any]:
    """Return one plane, made smaller: by averaging, labels by picking."""
    import numpy as np

    height, width = source.shape[-2:]
    step = max(1, -(-max(height, width) // size))
    if as_labels:
        return np.asarray(source[(*index, slice(None, None, step))])[:, ::step]
    whole = height * width * np.dtype(source.dtype).itemsize <= _WHOLE
    rows = 1 if whole else step
    plane = _reduced(source[(*index, slice(None, None, rows))])
    return _averaged(plane, step // rows, step)


def _reduced(values: Any) -> NDArray[Any]:
    """Return real float values in native order."""
    import numpy as np

    array = np.asarray(values)
    array = np.abs(array) if array.dtype.kind == "c" else array
    return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)


def _averaged(plane: NDArray[Any], down: int, across: int) -> NDArray[Any]:
    import numpy as np

    height, width = max(1, plane.shape[0] // down), max(1, plane.shape[1] // across)
    down, across = min(down, plane.shape[0]), min(across, plane.shape[1])
    tiles = plane[: height * down, : width * across].reshape(height, down, width, across)
    with np.errstate(all="ignore"):
        return np.asarray(tiles.mean((1, 3)))


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    import numpy as np

    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (
        float(v) * 4 for v in np.percentile(finite / 4, (1, 99))
    )  # their difference must not overflow
    if low == high:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 1, high + 1)


def _grey(plane: NDArray[Any]) -> NDArray[np.uint8]:
    import numpy as np

    return _with_alpha(_scaled(plane, *_limits(plane)), np.isfinite(plane))


def _colour(planes: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[np.uint8]:
    import numpy as np

    # one scale for the three channels: the balance of colours is kept
    return _with_alpha(_scaled(planes, *(limits or _limits(planes))), np.isfinite(planes).all(-1))


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    import numpy as np

    with np.errstate(all="ignore"):
        scaled = (values / 2 - low / 2) / (
            high / 2 - low / 2
        )  # halves: the span of float64 does not overflow
    return np.asarray(np.clip(np.nan_to_num(scaled, posinf=1, neginf=0), 0, 1) * 255).astype(np.uint8)


def _with_alpha(pixels: NDArray[np.uint8], is_finite: NDArray[np.bool_]) -> NDArray[np.uint8]:
    import numpy as np

    if is_finite.all():
        return pixels
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, -1)
    return np.dstack([colours, is_finite.astype(np.uint8) * 255])


def _labels(plane: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a plane of labels with one colour each, and 0 in dark grey."""
    import numpy as np

    if plane.dtype.kind == "b":
        return np.where(plane[..., None], (255, 190, 60), (40, 40, 40)).astype(np.uint8)
    # steps of the golden angle: labels that follow each other are far apart in colour
    hue = (plane.astype(np.float64) * 0.618034) % 1.0
    channels = [np.abs((hue + shift) % 1.0 * 6 - 3) - 1 for shift in (0, 2 / 3, 1 / 3)]
    colours = 70 + 185 * np.clip(np.stack(channels, -1), 0, 1)
    return np.asarray(np.where(plane[..., None] == 0, 40, colours)).astype(np.uint8)


def _line(values: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """Return a sparkline: the range of the values in each column, on a transparent ground."""
    import numpy as np
    from PIL import Image, ImageDraw

    width, height, fine = size, size // 4, 3
    canvas = Image.new("RGBA", (width * fine, height * fine))
    draw = ImageDraw.Draw(canvas)
    low, high = _limits(values)
    finite = values[np.isfinite(values)]
    if finite.size and finite.max() > finite.min():
        low, high = float(finite.min()), float(finite.max())
    margin, x_step = 3 * fine, (width * fine - 1) / max(1, len(values) - 1)
    run: list[tuple[float, float]] = []
    for i, value in enumerate([*values, np.nan]):
        if np.isfinite(value):
            level = float((value / 2 - low / 2) / (high / 2 - low / 2))
            run.append((i * x_step, margin + (1 - level) * (height * fine - 2 * margin)))
            continue
        if len(run) > 1:
            draw.line(run, fill=_LINE, width=4, joint="curve")
        elif run:
            (x, y) = run[0]
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_LINE)
        run = []
    return np.asarray(canvas.resize((width, height), Image.Resampling.BOX))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    times = max(1, _VISIBLE // max(height, width))  # so that a few pixels, or a single row, can be seen
    down, across = max(times, _THIN // height), max(times, _THIN // width)
    if max(down, across) > 1:
        pixels = pixels.repeat(down, 0).repeat(across, 1)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG", compress_level=4)
    return out.getvalue()
