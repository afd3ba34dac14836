"""What a step held before an attempt: an attempt that fails leaves nothing in it for the next one to begin with."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from workbench.steps import SklearnStep

if TYPE_CHECKING:
    from workbench.pipelines.call import Call

_WATCH = "callbacks"  # they are told of each attempt, and what they noted stays
_LONGEST, _LARGEST = 10_000, 1 << 20  # members, and bytes, of what is copied of a step that does not train


class StepState:
    """The attributes of a step, to be put back.

    Of a step that trains all are copied, for a model may be trained further in place. Of others, which are executed often, small lists,
    dicts, sets and arrays are. What cannot be copied, such as a lock, stays what it is.

    Parameters
    ----------
    call : Call
        Of a step; a function has none.
    is_trained : bool
        Whether executing it trains it.
    """

    def __init__(self, call: Call, *, is_trained: bool) -> None:
        held = getattr(call.what, "__dict__", None) if call.kind == "step" else None
        self._held: dict[str, Any] | None = held if type(held) is dict else None
        kept = {_WATCH, "model"} if _makes_its_model_anew(call.what) else {_WATCH}
        memo: dict[int, Any] = {}  # what several attributes share stays shared
        self._before = {
            name: value if name in kept else _deep_copy(value, memo) if is_trained else _small_copy(value)
            for name, value in (self._held or {}).items()
        }

    def put_back(self) -> None:
        """Let the step hold what it held before."""
        if self._held is not None:
            self._held.update(self._before)
            # it is never empty: who draws the step may look at it now
            for name in self._held.keys() - self._before.keys():
                del self._held[name]


def _makes_its_model_anew(step: Any) -> bool:
    return isinstance(step, SklearnStep) and type(step).fit is SklearnStep.fit


def _deep_copy(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        return _small_copy(value)


def _small_copy(value: Any) -> Any:
    if type(value) in (list, dict, set):
        return value.copy() if len(value) <= _LONGEST else value
    is_array = hasattr(value, "dtype") and hasattr(value, "tobytes")
    return copy.copy(value) if is_array and value.nbytes <= _LARGEST else value
