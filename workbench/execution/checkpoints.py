"""What the finished phases of a resumable run gave, kept so that a run that did not complete goes on behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.runners import restore, run_values

if TYPE_CHECKING:
    from workbench.execution.live import LiveRun
    from workbench.runners import BaseRunner
    from workbench.sessions import Session

PHASES = ("preprocess", "inference", "postprocess")


def session_of(run_id: str) -> str:
    """Return the name of the session that holds the phases of a run and of those that resume it."""
    return f"phases-{run_id}"


class Checkpoints:
    """The phases of one run, in a session of their own.

    A session gives arrays back without a copy, keeps things in memory or on disk by its own rules, and forgets them after its
    time: a phase that is not there any more is computed again.

    Parameters
    ----------
    live : LiveRun
    runner : BaseRunner
        The instance of this run; what it holds itself belongs to a phase's result.
    open_session : callable
    """

    def __init__(self, live: LiveRun, runner: BaseRunner, open_session: Callable[[str], Session]) -> None:
        self._live = live
        self._runner = runner
        self._session = open_session(session_of(live.record.checkpoint or live.record.id))

    def resume(self) -> tuple[str | None, Any]:
        """Return the last phase that was finished and its result, after giving the runner what it had then."""
        for phase in reversed(PHASES[:-1]):
            try:
                kept = self._session[phase]
            except WorkbenchError:  # never there, or gone since
                continue
            restore(self._runner, kept["values"])
            self._live.write_log("INFO", f"Resumed after {phase}.")
            return phase, kept["result"]
        if self._live.record.resumed_from is not None:
            self._live.write_log("WARNING", "No finished phase is kept; everything is computed again.")
        return None, None

    def keep(self, phase: str, result: Any) -> None:
        """Keep the result of a phase; what cannot be kept costs a warning, not the run."""
        try:
            self._session[phase] = {"result": result, "values": run_values(self._runner)}
        except (WorkbenchError, OSError) as error:
            self._live.write_log("WARNING", f"The result of {phase} is not kept for a resume: {error}")

    def drop(self) -> None:
        """Forget the phases of a run that has completed."""
        self._session.drop()
