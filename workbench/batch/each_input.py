"""The inputs that a sweep goes over: each of them has all points, and a name in the table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.library.bundle import Bundle
from workbench.pages import Page

NAMED = 3  # of the inputs of one point, in its name


def each_of(inputs: Any) -> list[Any]:
    """Return what is one input each: the items of a list or a listing, the slices of a stack, or the only one that there is."""
    if isinstance(inputs, Page):
        return list(inputs.all())
    if isinstance(inputs, (list, tuple)):
        return list(inputs)
    if len(getattr(inputs, "shape", ())) > 2:
        return list(inputs)
    return [] if inputs is None else [inputs]


def names_of(items: Sequence[Any]) -> list[str]:
    """Return what to call each input: a dataset's name, a version of a bundle, the name of a file, or its number.

    >>> names_of(["a/x.tif", Path("b/y.tif"), [[1, 2], "noisy"]])
    ['a/x.tif', 'y.tif', 'input 2, noisy']
    """
    names = [_name(item, f"input {number}", is_short=True) for number, item in enumerate(items)]
    if len(set(names)) == len(names):
        return names
    return [_name(item, f"input {number}", is_short=False) for number, item in enumerate(items)]


def _name(item: Any, otherwise: str, *, is_short: bool) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, os.PathLike):
        return Path(item).name if is_short else str(Path(item))
    if isinstance(item, (list, tuple)) and any(
        isinstance(i, (str, os.PathLike)) or hasattr(i, "id") for i in item
    ):
        more = [f"and {len(item) - NAMED} more"] if len(item) > NAMED else []
        return ", ".join([*(_name(i, otherwise, is_short=is_short) for i in item[:NAMED]), *more])
    if isinstance(item, Bundle):
        return item.ref if item.what == "all" else f"{item.ref} ({item.what})"
    if hasattr(item, "id"):  # a Dataset or a Run
        return str((getattr(item, "name", "") if is_short else "") or item.id)
    return otherwise
