"""Files of other formats as data for a dataset: one function per format, in one table.

Colour images become channels-first, (3, H, W). An alpha channel is dropped. The dtype is that of the file; where a schema
has no such dtype the array goes under ``data``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import (
    DamagedError,
    InvalidDataError,
    InvalidInputError,
    MissingPackageError,
    NotFoundError,
    UnsupportedError,
    WorkbenchError,
    did_you_mean,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass
class Content:
    """What a file holds, and the name of the schema it fits."""

    data: Mapping[str, Any]
    schema: str | None


@dataclass
class Pixels:
    """An array from a format that knows its axes; colour is the third axis from the end."""

    array: NDArray[Any]
    is_colour: bool = False

    @property
    def axes(self) -> int:
        """The number of axes that count pictures, not pixels: 0 for one picture, 1 for a stack."""
        return self.array.ndim - (3 if self.is_colour else 2)


def load(path: Path, *, as_slices: bool = False, key: str = "image") -> Content | list[Content]:
    """Read a file, or a folder of slices.

    Parameters
    ----------
    path : Path
        See `SUFFIXES` for the formats.
    as_slices : bool
        Return a list with one image per slice of a stack; a single image is a list of one.
    key : str
        What a slice is: ``image``, or ``mask``, which keeps its dtype.

    Raises
    ------
    NotFoundError, UnsupportedError, DamagedError, InvalidDataError, MissingPackageError
    """
    if not path.exists():
        near = (
            did_you_mean(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else ""
        )
        raise NotFoundError(f"There is no file {str(path)!r} (seen from {Path.cwd()}).{near} Check the path.")
    found = _folder(path) if path.is_dir() else _file(path)
    if not as_slices:
        return Content(found, _schema_of(found)) if isinstance(found, dict) else _content(found)
    slices = _slices(found, path)
    if key == "mask":
        return [Content({key: mask}, "SegmentationSchema") for mask in slices]
    return [Content({"image": _supported(image, path)}, "ImageSchema") for image in slices]


def reader_of(path: Path) -> Callable[[Path], Any]:
    """Return the function that reads files of this suffix.

    Raises
    ------
    UnsupportedError
        With the known suffixes.
    """
    name = path.name.lower()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            return SUFFIXES[suffix]
    raise UnsupportedError(
        f"{path.name!r} has suffix {path.suffix!r}, which cannot be read. Known: {', '.join(SUFFIXES)}, and folders of "
        "slices. Read it yourself and pass the array: ws.datasets.put({'image': array})."
    )


def is_readable(path: Path) -> bool:
    """Tell whether there is a reader for files of this suffix."""
    return path.name.lower().endswith(tuple(SUFFIXES))


def _file(path: Path) -> Any:
    read = reader_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # readers warn of what they then raise, or of tags we do not use
            return read(path)
    except (WorkbenchError, MemoryError, PermissionError):
        raise
    except Exception as error:  # every reader has its own way to say that a file is cut off
        raise DamagedError(
            f"{path} cannot be read as {path.suffix.lstrip('.').lower()}: {error or type(error).__name__}. "
            "It is damaged or cut off; copy it again, or save it anew."
        ) from error


# -- formats


def _picture(path: Path) -> Pixels:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        if image.format == "PNG" and _is_deep_colour(path):
            raise UnsupportedError(
                f"{path} is a colour PNG of 16 bits, of which only 8 would be read. Save it as .tif, which keeps them."
            )
        if image.mode == "P" or image.mode not in {"1", "L", "LA", "I", "I;16", "I;16B", "F", "RGB", "RGBA"}:
            image = image.convert("RGB")
        array = np.asarray(image)
    if array.dtype == np.int32:  # how some versions of pillow read 16-bit grey
        array = array.astype(np.uint16)
    return _channels_first(_native(array), has_samples=array.ndim == 3)


def _is_deep_colour(path: Path) -> bool:
    with path.open("rb") as file:
        bits, kind = file.read(26)[24:26]
    return bits == 16 and kind != 0


def _tif(path: Path) -> Pixels:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series
        kinds = sorted({(s.shape, str(s.dtype)) for s in series})
        if len(kinds) > 1:
            raise InvalidDataError(
                f"{path} has pages of different shape or dtype: {', '.join(f'{s} {d}' for s, d in kinds)}. "
                "Save them as files of their own.",
                key="volume",
            )
        axes = series[0].axes
        needed = max(
            (o + n for p in file.pages for o, n in zip(p.dataoffsets, p.databytecounts, strict=True)),
            default=0,
        )
        if needed > path.stat().st_size:
            raise ValueError(f"its pixels end at byte {needed}, the file at {path.stat().st_size}")
        if len(series) > 1:
            array, axes = file.asarray(key=slice(None)), "Q" + axes
        else:
            array = (
                tifffile.memmap(path, mode="r") if series[0].dataoffset is not None else series[0].asarray()
            )
    if axes.endswith("SYX"):
        return Pixels(_native(array)[..., :3, :, :], is_colour=True)
    return _channels_first(_native(array), has_samples=axes.endswith("S"))


def _npy(path: Path) -> Pixels:
    import numpy as np

    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError("it does not begin as a npy file")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "Array can't be memory-mapped" not in str(error) and "allow_pickle" not in str(error):
            raise
        raise InvalidDataError(
            f"{path} holds Python objects, which are not loaded because they can run code. "
            "Save numbers or text: numpy.save(path, array.astype(...)).",
            key="data",
        ) from error
    return Pixels(array)


def _npz(path: Path) -> dict[str, Any]:
    import numpy as np

    with (
        path.open("rb") as raw,
        np.load(raw, allow_pickle=False) as file,
    ):  # np.load leaves a damaged one open
        return {name.replace("/", "_"): file[name] for name in file.files}


def _hdf5(path: Path) -> dict[str, Any]:
    from workbench.storage import hdf5

    return hdf5.read(path)


def _fits(path: Path) -> Pixels | dict[str, Any]:
    try:
        from astropy.io import fits
    except ImportError:
        raise MissingPackageError(
            f"{path.name!r} needs astropy, which is not installed. Run: pip install 'jupyter-workbench[fits]'",
            package="astropy",
        ) from None
    import numpy as np

    def arrays_of(memmap: bool) -> dict[str, Any]:
        with fits.open(path, memmap=memmap) as file:
            return {
                str(unit.name or f"HDU{i}").replace("/", "_"): _native(np.asarray(unit.data))
                for i, unit in enumerate(file)
                if unit.data is not None
            }

    try:
        arrays = arrays_of(memmap=True)
    except ValueError as error:
        if "memmap" not in str(error):
            raise
        arrays = arrays_of(
            memmap=False
        )  # scaled values, such as uint16, are computed and lie nowhere in the file
    if not arrays:
        raise InvalidDataError(
            f"{path} holds headers and no data. Import a file with an image in it.", key="image"
        )
    only = next(iter(arrays.values()))
    return Pixels(only) if len(arrays) == 1 and only.dtype.names is None else arrays


SUFFIXES: dict[str, Callable[[Path], Any]] = {
    ".png": _picture,
    ".jpg": _picture,
    ".jpeg": _picture,
    ".tif": _tif,
    ".tiff": _tif,
    ".npy": _npy,
    ".npz": _npz,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".fits": _fits,
    ".fit": _fits,
    ".fts": _fits,
    ".fits.gz": _fits,
}
_SLICES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".fits", ".fit", ".fts"}


# -- folders


def natural(path: Path) -> list[Any]:
    """Return a sort key by which slice2 comes before slice10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", path.name)
    ]


def _folder(folder: Path) -> Pixels:
    """Read a folder of slices into one stack, slice by slice."""
    import numpy as np

    files = [p for p in folder.iterdir() if p.suffix.lower() in _SLICES and p.is_file() and p.name[0] != "."]
    files.sort(key=natural)
    if not files:
        raise InvalidInputError(
            f"Folder {str(folder)!r} holds no slices. Put images of one kind into it: {', '.join(sorted(_SLICES))}."
        )
    suffixes = sorted({p.suffix.lower() for p in files})
    if len(suffixes) > 1:
        raise InvalidInputError(
            f"Folder {str(folder)!r} holds slices of several kinds: {', '.join(suffixes)}. Keep one kind in it."
        )
    first = _one_picture(files[0])
    stack = np.empty((len(files), *first.array.shape), first.array.dtype)
    for i, path in enumerate(files):
        plane = _one_picture(path).array
        if plane.shape != stack.shape[1:] or plane.dtype != stack.dtype:
            raise InvalidDataError(
                f"{path} has shape {plane.shape}, {plane.dtype}, but {files[0].name} has {stack.shape[1:]}, "
                f"{stack.dtype}. Slices of a stack are alike: move that file elsewhere, or mend it.",
                key="volume",
            )
        stack[i] = plane
    return Pixels(stack, first.is_colour)


def _one_picture(path: Path) -> Pixels:
    found = _only_array(_file(path), path)
    if found.axes:
        raise InvalidDataError(
            f"{path} has shape {found.array.shape}; a slice is one image. Import that file by itself.",
            key="volume",
        )
    return found


# -- what it is


def _content(found: Pixels) -> Content:
    array = found.array
    if found.axes == 0 and _is_image_dtype(array.dtype):
        return Content({"image": array}, "ImageSchema")
    if found.axes == 0 and array.dtype.kind == "b":
        return Content({"mask": array}, "SegmentationSchema")
    if found.axes == 1 and not found.is_colour:
        return Content({"volume": array}, "VolumeSchema")
    return Content({"data": array}, "GenericSchema")


def _schema_of(data: Mapping[str, Any]) -> str | None:
    """Return the first schema that a dict of arrays fits."""
    from workbench import schemas

    for name in (
        "ImageSchema",
        "VolumeSchema",
        "SegmentationSchema",
        "MeshSchema",
        "AlignmentSchema",
        "GenericSchema",
    ):
        try:
            schemas.validate(name, data)
        except InvalidDataError:
            continue
        return name
    return None


def _slices(found: Pixels | dict[str, Any], path: Path) -> Iterator[NDArray[Any]]:
    found = _only_array(found, path)
    if found.axes == 0:
        yield found.array
    elif found.axes == 1:
        yield from found.array
    else:
        raise InvalidDataError(
            f"{path} has shape {found.array.shape}, which is no image and no stack of images. Import it whole "
            "(as_slices=False) and choose the axes yourself.",
            key="image",
        )


def _supported(image: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return a slice in a dtype that images have: bool as 0 and 1, other integers as floats that hold them."""
    import numpy as np

    if _is_image_dtype(image.dtype):
        return image
    if image.dtype.kind == "b":
        return image.astype(np.uint8)
    if image.dtype.kind in "iu":
        return image.astype(np.float32 if image.dtype.itemsize < 4 else np.float64)
    raise InvalidDataError(
        f"{path} holds {image.dtype}, which is no image. Import it whole (as_slices=False).", key="image"
    )


def _only_array(found: Pixels | dict[str, Any], path: Path) -> Pixels:
    import numpy as np

    if isinstance(found, Pixels):
        return found
    arrays = {key: value for key, value in found.items() if isinstance(value, np.ndarray) and value.ndim > 1}
    for key in ("image", "volume", "data", "PRIMARY", "SCI", *(arrays if len(arrays) == 1 else ())):
        if key in arrays:
            array = arrays[key]
            return Pixels(array, is_colour=key == "image" and array.ndim == 3 and array.shape[0] == 3)
    raise InvalidDataError(
        f"{path} has no array that is the image: its keys are {', '.join(map(repr, found))}. "
        "Import it whole (as_slices=False).",
        key="image",
    )


def _channels_first(array: NDArray[Any], *, has_samples: bool) -> Pixels:
    """Return (..., H, W, 3 or 4) as (..., 3, H, W) without alpha, and grey with alpha as grey."""
    import numpy as np

    if not has_samples:
        return Pixels(array)
    if array.shape[-1] < 3:
        return Pixels(array[..., 0])
    return Pixels(np.moveaxis(array[..., :3], -1, -3), is_colour=True)


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in the byte order of this machine, which torch needs; copied only where it is not."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _is_image_dtype(dtype: np.dtype[Any]) -> bool:
    from workbench.schemas import IMAGE_DTYPES

    return dtype.newbyteorder("=").name in IMAGE_DTYPES
