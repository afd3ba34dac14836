"""What a function or step of a pipeline was that is to be called again, and how what it gave was kept."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.errors import NotFoundError, UnsupportedError, WorkbenchError
from workbench.execution.reuse import digest_of
from workbench.models import RunRecord
from workbench.pipelines.call import STATE, trains
from workbench.pipelines.kept_code import load_code
from workbench.pipelines.meaning import meaning

if TYPE_CHECKING:
    from workbench.execution.executor import Services
    from workbench.library.datasets import Datasets
    from workbench.links import Links


class CallsAgain:
    """Functions and steps as they were: found here, or made of what was kept of them.

    Parameters
    ----------
    services : Services
    links : Links
        Where the states of steps lie.
    """

    def __init__(self, services: Services, links: Links) -> None:
        self._services = services
        self._links = links

    def what(self, record: RunRecord, outputs: int) -> Any:
        """Return the function or step of a run. What was kept of its code is executed where it is not here as it was.

        Parameters
        ----------
        record : RunRecord
        outputs : int
            How many its node names.

        Raises
        ------
        UnsupportedError, NotFoundError, DamagedError
            With the reason alone: who asks says what cannot be done, and what to do next.
        """
        error: WorkbenchError | None = None
        if record.function:
            try:
                return _imported(record, outputs)
            except WorkbenchError as raised:
                error = raised
        if not record.code:
            raise _not_kept(record, error)
        what = load_code(record.code, self._services.store)
        if record.call == "step" and not trains(what) and getattr(what, "needs_state", False):
            self._give_state(what, record)
        return what

    def _give_state(self, step: Any, record: RunRecord) -> None:
        """Let a step know again what it knew in a run: from the version that was saved, or from the run that trained it."""
        reasons = []
        for state, trained_by, kept_as in self._states(record):
            try:
                step.load(state())
            except Exception as error:  # it was deleted, is a pickle, or its package is gone
                reasons.append(str(error).rstrip("."))
            else:
                step.trained_by, step.kept_as = trained_by, kept_as
                return
        why = "; ".join(reasons) or "it was trained outside of a run, and was not saved"
        raise UnsupportedError(
            f"it was of step {record.algorithm!r}, and what that had learned is not to be had: {why}"
        )

    def _states(self, record: RunRecord) -> Iterator[tuple[Any, str, str]]:
        name, is_saved, number = record.version.partition("@")
        training = next((run for run in reversed(record.sources) if self._state_of(run)), "")
        if is_saved:
            yield lambda: self._links.load_bytes(name, number), training, record.version
        if training:
            state = self._state_of(training)
            yield lambda: self._services.datasets.get(state)[STATE], training, ""

    def _state_of(self, run: str) -> str:
        """Return the dataset of what a step has learned in a run; nothing if there is none."""
        try:
            return str(self._services.runs.record(run).records.get(STATE, ""))
        except NotFoundError:
            return ""


def _imported(record: RunRecord, outputs: int) -> Any:
    """Return the function that stands where it stood, if it means the same."""
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
    return what


def _not_kept(record: RunRecord, error: WorkbenchError | None) -> WorkbenchError:
    """Return the error for a call whose code is not in the store."""
    kept = (
        f"its code was not kept: {record.no_code}"
        if record.no_code
        else "an older workbench did not keep its code"
    )
    if error is not None:
        return type(error)(f"{error}, and {kept}")
    return UnsupportedError(f"it was of {record.call} {record.algorithm!r}, and {kept}")


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
