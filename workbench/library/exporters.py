"""Datasets as files of other formats: what is written is read back the same by the importer of that suffix."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import (
    AlreadyExistsError,
    InvalidDataError,
    InvalidInputError,
    MissingPackageError,
    NotFoundError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.library.dataset import Dataset


def save(dataset: Dataset, path: Path, key: str | None = None, *, overwrite: bool = False) -> Path:
    """Write a dataset to a file; the suffix says the format.

    ``.h5`` and ``.npz`` hold all keys; ``.npy``, ``.tif``, ``.png``, ``.jpg`` and ``.fits`` one array; a path without
    suffix becomes a folder of tif slices. Values are never scaled: a dtype that a format cannot hold is refused.

    Parameters
    ----------
    dataset : Dataset
    path : Path
    key : str, optional
        The key to write; default: all, or the main array.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    AlreadyExistsError
        If the file is there.
    UnsupportedError
        For an unknown suffix.
    InvalidDataError
        If the format cannot hold the array.
    """
    suffix = path.suffix.lower()
    if suffix and suffix not in _ARRAY_WRITERS and suffix not in _TREE_WRITERS:
        known = ", ".join([*_TREE_WRITERS, *_ARRAY_WRITERS])
        raise UnsupportedError(
            f"{path.name!r} has suffix {suffix!r}, which cannot be written. Known: {known}."
        )
    if path.exists() and not overwrite:
        raise AlreadyExistsError(f"{path} is there already. Choose another name, or pass overwrite=True.")
    if not path.parent.is_dir():
        raise NotFoundError(f"Folder {str(path.parent)!r} is not there. Make it first.")
    if overwrite and path.is_dir():
        raise InvalidInputError(f"{path} is a folder, which is not replaced. Choose another name.")
    # written beside it and then renamed: what is there is whole at every moment
    part = path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")
    try:
        _write(dataset, part, suffix, key)
        part.replace(path)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)
    return path


def _write(dataset: Dataset, part: Path, suffix: str, key: str | None) -> None:
    if suffix in _TREE_WRITERS:
        _TREE_WRITERS[suffix](part, {key: dataset[key]} if key else {k: dataset[k] for k in dataset.keys})
        return
    key = key or dataset.main_key
    if key in dataset.keys and dataset.keys[key].kind != "array":
        raise InvalidDataError(
            f"{key} is no array, so it does not fit {suffix}. Export to .h5, which holds all.", key=key
        )
    array = dataset[key]
    if not suffix:
        _folder(part, array, key)
    else:
        _ARRAY_WRITERS[suffix](part, array, key)


# -- whole datasets


def _hdf5(path: Path, tree: Mapping[str, Any]) -> None:
    from workbench.storage import hdf5

    hdf5.write(path, tree)


def _npz(path: Path, tree: Mapping[str, Any]) -> None:
    import numpy as np

    for key, value in tree.items():
        if isinstance(value, (dict, list, tuple, bytes)) or np.asarray(value).dtype.hasobject:
            raise InvalidDataError(
                f"{key} is a {type(value).__name__}, which npz does not hold. Export to .h5.", key=key
            )
    np.savez(path, **tree)


# -- one array


def _npy(path: Path, array: NDArray[Any], key: str) -> None:
    import numpy as np

    if array.dtype.hasobject:
        raise InvalidDataError(
            f"{key} is text of any length, which npy does not hold. Export to .h5.", key=key
        )
    np.save(path, array)


def _tif(path: Path, array: NDArray[Any], key: str) -> None:
    import tifffile

    if array.ndim < 2 or array.dtype.kind not in "iufc":
        raise InvalidDataError(
            f"{key} has shape {array.shape}, {array.dtype}, which tif does not hold; "
            + ("use numpy.uint8, or .npy." if array.dtype.kind == "b" else "export to .npy or .h5."),
            key=key,
        )
    if key == "image" and array.ndim == 3 and array.shape[0] == 3:
        tifffile.imwrite(path, array, photometric="rgb", planarconfig="separate")
    else:
        tifffile.imwrite(path, array, photometric="minisblack", bigtiff=array.nbytes > 2**31)


def _png(path: Path, array: NDArray[Any], key: str) -> None:
    _picture(path, array, key, ("uint8", "uint16", "bool"))


def _jpg(path: Path, array: NDArray[Any], key: str) -> None:
    _picture(path, array, key, ("uint8",))


def _picture(path: Path, array: NDArray[Any], key: str, dtypes: tuple[str, ...]) -> None:
    import numpy as np
    from PIL import Image

    is_colour = key == "image" and array.ndim == 3 and array.shape[0] == 3
    name, native = path.suffix.lstrip("."), array.astype(array.dtype.newbyteorder("="), copy=False)
    if not (array.ndim == 2 or is_colour) or not array.size:
        raise InvalidDataError(
            f"{key} has shape {array.shape}; {name} holds one image, (H, W) or (3, H, W). "
            "Export to .tif, or to a folder: a path without suffix.",
            key=key,
        )
    if native.dtype.name not in dtypes or (is_colour and native.dtype.name != "uint8"):
        raise InvalidDataError(
            f"{key} is {'colour of ' * is_colour}{array.dtype}; {name} holds {', '.join(dtypes)}"
            f"{' (colour: uint8)' if len(dtypes) > 1 else ''}. Export to .tif or .npy, which keep the values; "
            "for a look at it, ds.thumbnail() gives PNG bytes.",
            key=key,
        )
    pixels = np.ascontiguousarray(np.moveaxis(native, 0, -1) if is_colour else native)
    Image.fromarray(pixels).save(path, **({"quality": 95} if name != "png" else {}))


def _fits(path: Path, array: NDArray[Any], key: str) -> None:
    try:
        from astropy.io import fits
    except ImportError:
        raise MissingPackageError(
            f"{path.name!r} needs astropy, which is not installed. Run: pip install 'jupyter-workbench[fits]'",
            package="astropy",
        ) from None
    if array.dtype.newbyteorder("=").name not in _FITS_DTYPES or not array.ndim:
        raise InvalidDataError(
            f"{key} has shape {array.shape}, {array.dtype}; FITS holds {', '.join(_FITS_DTYPES)}. Export to .npy or .h5.",
            key=key,
        )
    fits.PrimaryHDU(array).writeto(path)


def _folder(path: Path, array: NDArray[Any], key: str) -> None:
    if array.ndim < 3:
        raise InvalidDataError(
            f"{key} has shape {array.shape}; a folder is for stacks. Add a suffix: .tif.", key=key
        )
    path.mkdir()
    digits = len(str(len(array) - 1))
    for i, plane in enumerate(array):
        _tif(path / f"slice{i:0{digits}}.tif", plane, "image" if array.ndim == 4 else key)


_FITS_DTYPES = ("uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64")
_TREE_WRITERS: dict[str, Callable[[Path, Mapping[str, Any]], None]] = {
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".npz": _npz,
}
_ARRAY_WRITERS: dict[str, Callable[[Path, Any, str], None]] = {
    ".npy": _npy,
    ".tif": _tif,
    ".tiff": _tif,
    ".png": _png,
    ".jpg": _jpg,
    ".jpeg": _jpg,
    ".fits": _fits,
}
