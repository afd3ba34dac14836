"""What a function of a pipeline was that is to be called again: the function itself, and how what it gave was kept."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.errors import NotFoundError, UnsupportedError
from workbench.execution.reuse import digest_of
from workbench.models import RunRecord
from workbench.pipelines.meaning import meaning

if TYPE_CHECKING:
    from workbench.library.datasets import Datasets


def function_again(record: RunRecord, outputs: int) -> Callable[..., Any]:
    """Return the function of a run, if it is there and means the same.

    Parameters
    ----------
    record : RunRecord
    outputs : int
        How many its node names.

    Raises
    ------
    UnsupportedError, NotFoundError
        With the reason alone: who asks says what cannot be done, and what to do next.
    """
    if not record.function:
        kind = (
            "a step, whose state is not kept"
            if record.call == "step"
            else "a function that has no name of its own, or was given an object"
        )
        raise UnsupportedError(f"it was of {record.algorithm!r}, {kind}")
    module, _, name = record.function.partition(":")
    try:
        what = getattr(sys.modules.get(module) or importlib.import_module(module), name)
    except Exception as error:  # whatever its module does
        raise NotFoundError(f"its function {record.function} is not here ({error})") from error
    found, unknown = meaning(what)
    if not found:
        raise UnsupportedError(f"of {record.function} nobody can tell what it depends on ({unknown})")
    if digest_of([found, outputs]) != record.content:
        raise UnsupportedError(f"of {record.function} its code has changed since")
    return what  # type: ignore[no-any-return]


def keys_again(record: RunRecord, datasets: Datasets) -> tuple[str, ...]:
    """Return under which key an array was kept, for each output of a call."""
    first = {ref.name: ref for ref in reversed(record.outputs)}
    names = dict.fromkeys(ref.name for ref in record.outputs)
    found = {d.id: list(d.keys) for d in datasets.find_many([r.dataset for r in record.outputs if r.dataset])}
    keys = []
    for name in names:
        ref = first[name]
        known = found.get(ref.dataset or "", [])
        key = known[0] if len(known) == 1 and not ref.is_dict else "data"
        keys.append("image" if key == "volume" else key)
    return tuple(keys)
