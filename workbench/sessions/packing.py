"""An object as a pickle and the raw bytes of its arrays, apart from each other; and back without a copy."""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_loading = threading.local()


@dataclass(frozen=True, slots=True)
class Packed:
    """An object taken apart.

    Parameters
    ----------
    body : bytes
        The pickle, in which arrays are numbers.
    arrays : list of memoryview
        Bytes of the numpy arrays and torch tensors, contiguous.
    others : list of memoryview
        Buffers that other libraries lay out of band.
    """

    body: bytes
    arrays: list[memoryview]
    others: list[memoryview]

    @property
    def buffers(self) -> list[memoryview]:
        """All buffers in the order in which `unpack` wants them."""
        return [*self.arrays, *self.others]


def pack(value: object) -> Packed:
    """Take an object apart; what it raises is what pickle raises.

    Arrays are numbered by us and not by pickle, which would make what came from a read-only array read-only for ever, refuses
    dates and knows nothing of tensors.
    """
    arrays: list[memoryview] = []
    others: list[pickle.PickleBuffer] = []
    target = io.BytesIO()
    pickler = pickle.Pickler(target, protocol=5, buffer_callback=others.append)
    pickler.dispatch_table = _table(arrays)
    pickler.dump(value)
    return Packed(target.getvalue(), arrays, [b.raw() for b in others])


def body_of_array(dtype: Any, shape: tuple[int, ...]) -> bytes:
    """Return the pickle of an array that lies in the first buffer, without having it."""

    class Slot:
        def __reduce__(self) -> Any:
            return _array, (0, dtype, shape, "C")

    return pickle.dumps(Slot(), protocol=5)


def unpack(
    body: bytes | memoryview, arrays: Sequence[memoryview], others: Sequence[memoryview], *, writable: bool
) -> Any:
    """Put an object together over buffers, without a copy.

    Parameters
    ----------
    writable : bool
        False makes numpy arrays read-only. Tensors know no such thing: they get the buffers as they are.
    """
    before = getattr(_loading, "buffers", None)
    _loading.buffers = (arrays, writable)
    try:
        return pickle.loads(body, buffers=others if writable else [b.toreadonly() for b in others])
    finally:
        _loading.buffers = before


def describe(value: object) -> tuple[str, tuple[int, ...], str]:
    """Return what an object is: type, shape and dtype, for listings."""
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    dtype = getattr(value, "dtype", None)
    if isinstance(shape, tuple) and all(isinstance(n, int) for n in shape):
        return kind, tuple(shape), str(dtype).removeprefix("torch.") if dtype is not None else ""
    if isinstance(value, (dict, list, tuple, set, str, bytes)):
        return kind, (len(value),), ""
    return kind, (), ""


def _table(arrays: list[memoryview]) -> dict[Any, Callable[[Any], Any]]:
    """Return how the objects with buffers are taken apart; only of libraries that are loaded."""
    table: dict[Any, Callable[[Any], Any]] = dict(copyreg.dispatch_table)
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "memmap"):
        take = _array_taker(arrays, numpy)
        table[numpy.ndarray] = table[numpy.memmap] = take
        shared = sys.modules.get("workbench.sessions.read_only")
        if shared is not None:
            table[shared.ReadOnlyArray] = take
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "Tensor"):
        table[torch.Tensor] = _tensor_taker(arrays, torch)
    return table


def _array_taker(arrays: list[memoryview], np: Any) -> Callable[[Any], Any]:
    def take(array: Any) -> Any:
        if array.dtype.hasobject:
            return np.asarray(array).__reduce_ex__(5)
        order = "C"
        shape = array.shape
        if not array.flags.c_contiguous:
            if array.flags.f_contiguous:
                array, order = array.T, "F"
            else:
                array = np.ascontiguousarray(array)
        dtype = array.dtype
        arrays.append(_raw(array, np))
        return _array, (len(arrays) - 1, dtype.str if dtype.isbuiltin == 1 else dtype, shape, order)

    return take


def _raw(array: Any, np: Any) -> memoryview:
    """Return the bytes of a contiguous array; dates and records have no buffer of their own."""
    if not array.nbytes:
        return memoryview(b"")
    return memoryview(np.asarray(array).reshape(-1).view(np.uint8))


def _tensor_taker(arrays: list[memoryview], torch: Any) -> Callable[[Any], Any]:
    def take(tensor: Any) -> Any:
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            return tensor.__reduce_ex__(5)
        flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        # bfloat16 and its kind are nothing that numpy knows: through whole bytes
        arrays.append(memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else memoryview(b""))
        name = str(tensor.dtype).removeprefix("torch.")
        return _tensor, (len(arrays) - 1, name, tuple(tensor.shape), tensor.requires_grad)

    return take


def _array(index: int, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
    import numpy as np

    buffers, writable = _loading.buffers
    buffer = buffers[index]
    if not len(buffer):
        array = np.ndarray(shape, dtype, order=order)
        array.setflags(write=writable)
        return array
    return np.ndarray(shape, dtype, buffer=buffer if writable else buffer.toreadonly(), order=order)


def _tensor(index: int, dtype: str, shape: tuple[int, ...], requires_grad: bool) -> Any:
    import torch

    buffer = _loading.buffers[0][index]
    kind = getattr(torch, dtype)
    if len(buffer):
        tensor = torch.frombuffer(buffer, dtype=torch.uint8).view(kind).reshape(shape)
    else:
        tensor = torch.empty(shape, dtype=kind)
    return tensor.requires_grad_() if requires_grad else tensor
