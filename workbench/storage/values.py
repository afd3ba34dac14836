"""Python values as leaves of a tree, and back: what a dataset file holds, said once for writing, reading and hashing."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidDataError
from workbench.models import KeyInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: memory that one step of writing, hashing or reading may take
BLOCK = 4 << 20
_PYTHON_SCALARS = {bool: "bool", int: "int", float: "float", complex: "complex"}


@dataclass(slots=True)
class Group:
    """A list, tuple or dict in the tree."""

    path: tuple[str, ...]
    kind: str  # list, tuple, dict


@dataclass(slots=True)
class Leaf:
    """A value in the tree, as the array that is stored for it; text is an object array of str."""

    path: tuple[str, ...]
    kind: str  # array, scalar (of numpy), bool, int, float, complex, str, bytes, none
    array: NDArray[Any]

    @property
    def is_text(self) -> bool:
        """Tell whether the array holds Python strings."""
        return is_text(self.array.dtype)


Entry = Group | Leaf


def flatten(tree: Mapping[str, Any]) -> list[Entry]:
    """Return the groups and leaves of a tree in canonical order: dicts by key, lists by position; None is left out.

    Raises
    ------
    InvalidDataError
        For keys that are no text or hold ``/``, and for values that are no data.
    """
    return list(_walk((), tree)) if isinstance(tree, Mapping) else _refuse_tree(tree)


def _refuse_tree(tree: object) -> list[Entry]:
    raise InvalidDataError(
        f"A dataset is a dict of named arrays, not {type(tree).__name__}. Pass {{'image': array}}."
    )


def _walk(path: tuple[str, ...], members: Mapping[Any, Any]) -> Iterator[Entry]:
    for key in members:
        if not isinstance(key, str) or not key or "/" in key or "\0" in key or key == ".":
            raise InvalidDataError(
                f"Key {key!r}{_inside(path)} cannot be stored: keys are non-empty text without '/'. "
                f"Rename it to {str(key).replace('/', '_').strip('.') or 'data'!r}.",
                key=str(key),
            )
    for key in sorted(members):
        value = members[key]
        if value is not None:
            yield from _entries((*path, key), value)


def _entries(path: tuple[str, ...], value: Any) -> Iterator[Entry]:
    if isinstance(value, Mapping):
        yield Group(path, "dict")
        yield from _walk(path, value)
    elif isinstance(value, (list, tuple)):
        yield Group(path, "tuple" if isinstance(value, tuple) else "list")
        for i, item in enumerate(value):
            yield from _entries((*path, str(i)), item)
    else:
        yield _leaf(path, value)


def _leaf(path: tuple[str, ...], value: Any) -> Leaf:
    import numpy as np

    if isinstance(value, str) and not isinstance(value, np.generic):
        array = np.empty((), object)
        array[()] = str(value)
        return Leaf(path, "str", _checked_text(path, array))
    if isinstance(value, (bytes, bytearray, memoryview)) and not isinstance(value, np.generic):
        return Leaf(path, "bytes", np.frombuffer(bytes(value), np.uint8))
    if value is None:  # only inside a list, where leaving it out would shift the rest
        return Leaf(path, "none", np.empty(0, np.uint8))
    kind = _PYTHON_SCALARS.get(type(value))
    if kind == "int" and not -(2**63) <= value < 2**64:
        array = np.empty((), object)
        array[()] = str(value)
        return Leaf(path, kind, array)
    if kind:
        return Leaf(path, kind, np.asarray(value))
    array = _checked(path, as_array(value, "/".join(path)))
    if is_text(array.dtype) and not array.ndim:
        return Leaf(path, "str", array)
    return Leaf(path, "scalar" if isinstance(value, np.generic) else "array", array)


def as_array(value: Any, key: str) -> NDArray[Any]:
    """Return an array, torch tensor or anything with ``__array__`` as a plain numpy array, without a copy if possible.

    Tensors come from any device and may require gradients; bfloat16 and the 8-bit floats, which numpy has not, become
    float32 (exact).

    Raises
    ------
    InvalidDataError
        For what is no array, masked and sparse arrays.
    """
    import numpy as np

    if isinstance(value, np.ma.MaskedArray):
        raise InvalidDataError(
            f"{key} is a masked array, whose mask would be lost. "
            f"Store {key}.filled(0) and, under another key, {key}.mask.",
            key=key,
        )
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _from_tensor(value, key, torch)
    if not hasattr(value, "__array__"):
        raise InvalidDataError(
            f"{key} is {_article(type(value).__name__)}, which cannot be stored. Use arrays, numbers, text, bytes,"
            f" lists and dicts of them; for example {key} = numpy.asarray(...).",
            key=key,
        )
    try:
        return np.asarray(value)
    except Exception as error:
        raise InvalidDataError(
            f"{key} is {_article(type(value).__name__)}, which does not become an array: {error}. "
            "Convert it to a numpy array first.",
            key=key,
        ) from error


def _from_tensor(tensor: Any, key: str, torch: Any) -> NDArray[Any]:
    import numpy as np

    try:
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
        if tensor.dtype is torch.bfloat16 or (tensor.is_floating_point() and tensor.element_size() == 1):
            tensor = tensor.float()
        array: NDArray[Any] = tensor.numpy()
    except (TypeError, RuntimeError) as error:
        raise InvalidDataError(
            f"{key} is a torch tensor of {tensor.dtype}, {tensor.layout}, which numpy cannot hold: {error}. "
            f"Pass {key}.to_dense() or another dtype, such as {key}.float().",
            key=key,
        ) from error
    return np.asarray(array)


def _checked(path: tuple[str, ...], array: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    key = "/".join(path)
    dtype = array.dtype
    if dtype.kind in "OT":
        return _checked_text(path, array.astype(object))
    if dtype.hasobject or dtype.itemsize == 0 or dtype.kind not in "biufcmMSUV":
        raise InvalidDataError(
            f"{key} has dtype {dtype}, which a file cannot hold. Store its columns under keys of their own.",
            key=key,
        )
    if dtype.metadata:
        array = array.view(np.dtype(dtype.str) if dtype.names is None else from_descr(descr(dtype)))
    return array


def _checked_text(path: tuple[str, ...], array: NDArray[Any]) -> NDArray[Any]:
    key = "/".join(path)
    for item in array.flat:
        if not isinstance(item, str):
            hint = (
                f"{key}.astype('S')"
                if isinstance(item, bytes)
                else f"numpy.array({key}.tolist()) or a list of arrays"
            )
            raise InvalidDataError(
                f"{key} is an object array that holds {_article(type(item).__name__)}; only text is stored that way. "
                f"Pass {hint}.",
                key=key,
            )
        if "\0" in item:
            raise InvalidDataError(
                f"{key} is text with a NUL character. Store it as bytes: {key}.encode().", key=key
            )
        try:
            item.encode()
        except UnicodeEncodeError as error:
            raise InvalidDataError(
                f"{key} is text that is not valid Unicode: {error}. Store it as bytes.", key=key
            ) from error
    return array


def restore(kind: str, array: NDArray[Any]) -> Any:
    """Return the value that was stored as this array."""
    if kind == "array":
        return array
    if kind == "none":
        return None
    if kind == "bytes":
        return array.tobytes()
    if kind == "scalar":
        return array[()]
    if kind == "int":
        return int(array[()])
    return array.item()


# -- description and bytes: what the digest is taken over


def is_text(dtype: np.dtype[Any]) -> bool:
    """Tell whether arrays of this dtype hold Python strings."""
    return dtype.kind == "O"


def descr(dtype: np.dtype[Any]) -> str:
    """Return a dtype as text from which `from_descr` makes it again."""
    import warnings

    from numpy.lib import format as npy

    if is_text(dtype):
        return "'str'"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # metadata of a dtype is no content
        return repr(npy.dtype_to_descr(dtype))


def from_descr(text: str) -> np.dtype[Any]:
    """Return the dtype that `descr` described."""
    from numpy.lib import format as npy

    return npy.descr_to_dtype(ast.literal_eval(text))


def header(entries: list[Entry]) -> bytes:
    """Return the canonical description of a tree: paths, kinds, dtypes and shapes."""
    rows = tuple(
        (e.path, e.kind) if isinstance(e, Group) else (e.path, e.kind, e.array.dtype, e.array.shape)
        for e in entries
    )
    # two dtypes of numbers that are equal are the same; of texts and records there may be more to them
    is_plain = all(len(row) == 2 or row[2].kind in "biufc" for row in rows)
    return _plain_header(rows) if is_plain else _header(rows)


def _header(rows: Iterable[tuple[Any, ...]]) -> bytes:
    described = [row if len(row) == 2 else (*row[:2], descr(row[2]), row[3]) for row in rows]
    return json.dumps(described, separators=(",", ":")).encode()


_plain_header = lru_cache(256)(_header)


def blocks(array: NDArray[Any], size: int = BLOCK) -> Iterator[NDArray[np.uint8]]:
    """Yield the bytes of an array in C order, about ``size`` at a time; only what is not contiguous is copied.

    Text gives, for each item, its UTF-8 length (8 bytes, little-endian) and its UTF-8 bytes.
    """
    import numpy as np

    if is_text(array.dtype):
        texts = (str(item).encode() for item in array.flat)
        yield np.frombuffer(b"".join(len(t).to_bytes(8, "little") + t for t in texts), np.uint8)
    elif array.flags.c_contiguous:
        flat = array.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, size):
            yield flat[start : start + size]
    elif array.nbytes <= size:
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    else:
        rows = max(1, size * array.shape[0] // array.nbytes)
        for start in range(0, array.shape[0], rows):
            part = array[start] if rows == 1 else array[start : start + rows]
            yield from blocks(part, size)


def describe(entries: list[Entry]) -> dict[str, KeyInfo]:
    """Return what each key of a flattened tree is."""
    return _describe(entries, 0)


def _describe(entries: list[Entry], depth: int) -> dict[str, KeyInfo]:
    members: dict[str, list[Entry]] = {}
    for entry in entries:
        members.setdefault(entry.path[depth], []).append(entry)
    return {key: _key_info(below, depth) for key, below in members.items()}


def _key_info(entries: list[Entry], depth: int) -> KeyInfo:
    first = entries[0]
    if isinstance(first, Group):
        items = _describe(entries[1:], depth + 1)
        return KeyInfo(
            kind="group" if first.kind == "dict" else "list",
            nbytes=sum(i.nbytes for i in items.values()),
            items=items,
        )
    array = first.array
    if first.is_text and first.kind != "int":
        nbytes = sum(len(item.encode()) for item in array.flat)
        kind = "text" if first.kind == "str" else "array"
        return KeyInfo(kind=kind, shape=array.shape, dtype="str", nbytes=nbytes)
    if first.kind == "array":
        return KeyInfo(kind="array", shape=array.shape, dtype=str(array.dtype), nbytes=array.nbytes)
    dtype = str(array.dtype) if first.kind == "scalar" else first.kind
    return KeyInfo(kind="scalar", dtype=dtype, nbytes=array.nbytes)


def _inside(path: tuple[str, ...]) -> str:
    return f" in {'/'.join(path)!r}" if path else ""


def _article(noun: str) -> str:
    return f"an {noun}" if noun[:1].lower() in "aeiou" else f"a {noun}"
