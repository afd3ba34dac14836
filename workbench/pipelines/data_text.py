"""Data as a text that is equal where the data are: what settings and tables are made of, as long as they are small."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import PurePath
from typing import Any

from workbench.pipelines.compiled import SIMPLE, code_digest
from workbench.pipelines.installed import is_installed

_MOST_MEMBERS = 10_000
_LARGEST_ARRAY = 1 << 20  # bytes
_SAID_BY_REPR = frozenset({"datetime", "decimal", "fractions", "uuid", "zoneinfo"})  # modules of plain values
_DEEPEST = 30


class _NoDataError(Exception):
    """Something that is not data, or too much of it."""


def data_text(value: Any) -> str | None:
    """Return a text that is equal for equal data; None for what is no data, or is large.

    >>> data_text({"a": [1, True]})
    "dict 1 str 'a' list 2 int 1 bool True"
    """
    try:
        return " ".join(_texts(value, [_MOST_MEMBERS], 0))
    except Exception:  # what it is asked for may fail too, or another thread changes it meanwhile
        return None


def _texts(value: Any, left: list[int], depth: int) -> Iterator[str]:
    left[0] -= 1
    if left[0] < 0 or depth > _DEEPEST:
        raise _NoDataError
    kind = type(value).__qualname__
    if isinstance(value, SIMPLE) and type(value) in SIMPLE:
        yield f"{kind} {value!r}"
    elif isinstance(value, Enum):
        yield f"{kind}.{value.name}"
    elif isinstance(value, (list, tuple)):
        yield f"{kind} {len(value)}"
        yield from _all(value, left, depth)
    elif isinstance(value, (set, frozenset)):
        yield f"{kind} {len(value)}"
        yield from sorted(" ".join(_texts(member, left, depth + 1)) for member in value)
    elif isinstance(value, (dict, types.MappingProxyType)):
        yield f"{kind} {len(value)}"
        yield from _all((part for item in value.items() for part in item), left, depth)
    elif hasattr(value, "dtype") and hasattr(value, "tobytes") and hasattr(value, "shape"):
        yield _array_text(value)
    elif isinstance(value, (PurePath, range, slice)) or type(value).__module__ in _SAID_BY_REPR:
        yield repr(value)
    elif isinstance(value, types.FunctionType):
        yield f"function {code_digest(value.__code__)}"
    elif callable(value) and hasattr(value, "__qualname__"):
        yield f"callable {getattr(value, '__module__', '')}.{value.__qualname__}"
    else:
        yield f"{type(value).__module__}.{kind}"
        yield from _texts(_attributes(value), left, depth + 1)


def _all(members: Iterable[Any], left: list[int], depth: int) -> Iterator[str]:
    for member in members:
        yield from _texts(member, left, depth + 1)


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object that is nothing but its attributes: a dataclass, a namespace, an object of a class that is not installed."""
    if dataclasses.is_dataclass(value):
        found = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
        return {**found, **getattr(value, "__dict__", {})}
    if isinstance(value, types.SimpleNamespace) or not is_installed(type(value).__module__):
        held = getattr(value, "__dict__", None)
        if type(held) is dict:
            return held
    raise _NoDataError


def _array_text(array: Any) -> str:
    import numpy as np
    from blake3 import blake3

    plain = np.asarray(array)
    if plain.dtype.hasobject or plain.nbytes > _LARGEST_ARRAY:
        raise _NoDataError
    return f"array {plain.dtype.str} {plain.shape} {blake3(plain.tobytes()).hexdigest()}"
