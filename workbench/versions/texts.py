"""The text of a value that counts: it is the same in every process, and another one for another value."""

from __future__ import annotations

import dataclasses
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace

from workbench.errors import InvalidInputError

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_PLAIN = (str, bytes, bytearray, bool, int, float, complex, type(None), type)
_CONTAINERS = {
    dict,
    OrderedDict,
    MappingProxyType,
    list,
    tuple,
    deque,
}  # their text is that of what they hold


def stable_text(name: str, value: object) -> str:
    """Return ``str(value)`` if it is the same in every process and tells values apart.

    Raises
    ------
    InvalidInputError
        For objects whose text is an address, for sets (their order changes with the process), for arrays, tables, models and
        generators of random numbers (their text leaves values out), also inside of containers and of objects whose text is made
        from their fields. Says what to write instead.
    """
    problem = _instability(value, str)
    if problem is not None:
        raise InvalidInputError(
            f"Versioned field {name!r} has a value of type {type(value).__name__} that cannot be versioned: {problem}."
        )
    return str(value)


def _instability(value: object, text_of: Callable[[object], str] = repr) -> str | None:
    """Return why the text of a value does not stand for it, or None; of what is inside of others it is ``repr`` that counts."""
    if isinstance(value, _PLAIN):  # whatever a text says, it is itself
        return None
    problem = _left_out(value)
    parts = _parts(value)
    if problem is None and parts is not None:
        problem = next((p for p in map(_instability, parts) if p), None)
    if problem is None and (parts is None or _says_more(value)) and _ADDRESS.search(text_of(value)):
        problem = "its text has an address in it, which is another one in every process. Give a number, a text or a tuple"
    return problem


def _left_out(value: object) -> str | None:
    """Return what the text of a value of a known kind does not say."""
    if isinstance(value, (set, frozenset)):
        return "the order of a set is another one in every process. Give a sorted tuple"
    if getattr(value, "shape", ()) != () and hasattr(value, "dtype"):
        return (
            "the text of an array leaves values and digits out. Give value.tolist(), or a digest of its bytes"
        )
    if hasattr(value, "columns") and hasattr(value, "index") and hasattr(value, "dtypes"):
        return "the text of a table leaves rows out. Give a digest of its contents"
    if callable(getattr(value, "state_dict", None)):
        return "the text of a module of torch leaves its weights out. Give a digest of its state, or its name and version"
    if hasattr(value, "bit_generator") or callable(getattr(value, "random_sample", None)):
        return "the text of a generator leaves its state out. Give its seed"
    return None


def _parts(value: object) -> list[object] | None:
    """Return what the text of a value is made of, or None where only its author knows."""
    if isinstance(value, Mapping):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, (list, tuple, deque)):
        return list(value)
    if dataclasses.is_dataclass(value) and _is_generated(value):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value) if field.repr]
    if (
        isinstance(value, SimpleNamespace)
        or hasattr(value, "__attrs_attrs__")
        or hasattr(value, "model_fields_set")
    ):
        return list(vars(value).values())
    return None


def _is_generated(value: object) -> bool:
    """Tell whether the text of an object is the one that the decorator of its dataclass has made."""
    made = getattr(type(value).__repr__, "__wrapped__", None)
    return (
        type(value).__str__ is object.__str__ and made is not None and made.__code__.co_filename == "<string>"
    )


def _says_more(value: object) -> bool:
    """Tell whether the text of a container may say more than what it holds, such as the factory of a defaultdict."""
    return isinstance(value, (Mapping, list, tuple, deque)) and type(value) not in _CONTAINERS
