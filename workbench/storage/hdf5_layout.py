"""How values lie in an HDF5 file: which dataset or group stands for each, and what is marked that HDF5 cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidDataError
from workbench.storage.values import BLOCK, Entry, Group, descr, is_text

if TYPE_CHECKING:
    import h5py
    import numpy as np
    from numpy.typing import NDArray

KIND, DTYPE = "workbench_kind", "workbench_dtype"
VERSION = ("v110", "v110")  # of the file format: that of HDF5 1.10, with compact metadata


def place(file: h5py.File, entry: Entry, compression: str | None) -> int | None:
    import h5py

    name = "/".join(entry.path)
    if isinstance(entry, Group):
        group = h5py.h5g.create(file.id, name.encode())
        if entry.kind != "dict":
            _mark(group, KIND, entry.kind)
        return None
    array = entry.array
    offset: int | None = None
    if compression and array.ndim > 1 and array.size and array.dtype.kind in "biufc":
        dataset = file.create_dataset(
            name, array.shape, array.dtype, chunks=(1, *array.shape[1:]), compression=compression
        ).id
        _write_slices(h5py.Dataset(dataset), array)
    elif array.dtype.kind in "OU":
        dataset = _write_text(file, name, array)
    else:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.CONTIGUOUS)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(array.shape) if array.shape else h5py.h5s.create(h5py.h5s.SCALAR)
        dataset = h5py.h5d.create(file.id, name.encode(), _stored_type(array.dtype), space, properties)
        offset = dataset.get_offset() if array.size else None
    if dataset.dtype != array.dtype:
        _mark(dataset, DTYPE, descr(array.dtype))
    if entry.kind != "array":
        _mark(dataset, KIND, entry.kind)
    return offset


def _stored_type(dtype: np.dtype[Any]) -> Any:
    import h5py
    import numpy as np

    if dtype.kind in "mM":
        dtype = h5py.opaque_dtype(dtype)
    try:
        return h5py.h5t.py_create(dtype, logical=True)
    except TypeError:  # a record with fields HDF5 has no type for: its bytes, and the dtype beside them
        return h5py.h5t.py_create(np.dtype(f"V{dtype.itemsize}"), logical=True)


def _write_slices(dataset: h5py.Dataset, array: NDArray[Any]) -> None:
    rows = max(1, BLOCK * array.shape[0] // array.nbytes)
    for start in range(0, array.shape[0], rows):
        dataset[start : start + rows] = array[start : start + rows]


def _write_text(file: h5py.File, name: str, array: NDArray[Any]) -> Any:
    import h5py
    import numpy as np

    if is_text(array.dtype):
        return file.create_dataset(name, data=array, dtype=h5py.string_dtype()).id
    try:
        encoded = np.char.encode(array, "utf-8")
    except UnicodeEncodeError as error:
        raise InvalidDataError(
            f"{name} is text that is not valid Unicode: {error}. Store it as bytes.", key=name
        ) from error
    dtype = h5py.string_dtype("utf-8", max(1, encoded.dtype.itemsize))
    return file.create_dataset(name, data=encoded.astype(dtype), dtype=dtype).id


def _mark(node: Any, name: str, text: str) -> None:
    import h5py
    import numpy as np

    value = np.array(text.encode())
    kind = h5py.h5t.py_create(value.dtype)
    h5py.h5a.create(node, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR)).write(value)
