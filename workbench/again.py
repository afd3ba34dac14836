"""Again: what a record says is done once more, from where it ended or from the beginning."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, NotFoundError, UnsupportedError
from workbench.execution.replay import checked_tolerance, rebuilt, replayable, replayed

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.execution.replay import Replay
    from workbench.execution.run import Run
    from workbench.execution.runs import Runs
    from workbench.library import Datasets
    from workbench.models import RunRecord
    from workbench.pipelines.pipelines import Pipelines


class Again:
    """Resumes and replays runs.

    Parameters
    ----------
    algorithms : Algorithms
    datasets : Datasets
    runs : Runs
    run : callable
        ``Workspace.run``.
    pipelines : callable
        Returns the pipelines of the workspace.
    """

    def __init__(
        self,
        algorithms: Algorithms,
        datasets: Datasets,
        runs: Runs,
        run: Callable[..., Run],
        pipelines: Callable[[], Pipelines],
    ) -> None:
        self._algorithms = algorithms
        self._datasets = datasets
        self._runs = runs
        self._run = run
        self._pipelines = pipelines

    def resume(self, run_id: str, **options: Any) -> Run:
        """Go on with a run after its last finished phase; see `Workspace.resume`."""
        record = self._resumable(run_id)
        given = {
            "executor": record.executor,
            "device": record.device,
            "session": record.session,
            "timeout_s": record.timeout_s,
            "retries": record.retries,
            "priority": record.priority,
            "tags": record.tags,
            **options,
        }
        assert record.revision is not None
        return self._run(record.revision, list(record.inputs), record.parameters, _resumed=record, **given)

    def _resumable(self, run_id: str) -> RunRecord:
        """Return the record of a run that can be resumed, or refuse it."""
        record = self._runs.record(run_id)
        if not record.status.is_final or record.status == "COMPLETED":
            raise InvalidInputError(
                f"Run {run_id} is {record.status}; only one that did not complete is resumed."
            )
        again = f"Run it again: ws.run({record.algorithm!r}, ...)."
        if record.revision is None:
            raise UnsupportedError(f"Run {run_id} was of a folder, which may have changed since. {again}")
        revision = self._algorithms.get(record.revision).revision
        if not revision.settings.get("resumable"):
            raise UnsupportedError(
                f"Run {run_id} cannot be resumed: {revision.ref} does not declare resumable = true in [tool.workbench], "
                f"so its phases were not kept. {again}"
            )
        return record

    def replay(
        self,
        run_id: str,
        rtol: float,
        atol: float,
        from_source: bool | str | os.PathLike[str],
        **options: Any,
    ) -> Replay:
        """Compute a completed run again and compare its outputs; see `Workspace.replay`."""
        checked_tolerance(rtol, atol)
        original = self._runs.get(run_id)
        if original.reused_from is not None:
            with suppress(NotFoundError):  # it was deleted, or is in the workspace that an RO-Crate came from
                original = self._runs.get(original.reused_from)
        record = original.record
        if record.nodes:
            return self._pipelines().replay(
                original, rtol=rtol, atol=atol, from_source=from_source, **options
            )
        places = (self._runs, self._datasets, self._algorithms)
        if record.call:
            run, reasons = self._pipelines().replay_call(record)
            return replayed(original, run, *places, rtol, atol, reasons=reasons)
        what = replayable(record, self._algorithms, self._datasets, options.get("session"))
        notes = [rebuilt(record, self._algorithms, from_source)] if from_source else []
        given = {"executor": record.executor or None, "device": record.device, "tags": record.tags, **options}
        given |= {"reuse": "never", "wait": True}
        run = self._run(what, list(record.inputs), record.parameters, _replays=record, **given)
        return replayed(original, run, *places, rtol, atol, notes)
