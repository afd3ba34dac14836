"""A live view of one run: the model listens to the run, the view paints the model, neither holds the run up."""

from __future__ import annotations

import html
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.execution.run_html import error_html, head_html, log_html, outputs_html, run_html, run_text
from workbench.models import RunRecord, RunStatus
from workbench.notebook.job_view import JobView
from workbench.notebook.painter import PAINTER, Painter

if TYPE_CHECKING:
    from workbench.execution.events import RunEvent
    from workbench.execution.run import Run

__all__ = ["RunModel", "RunView", "run_html", "run_text"]
SHOWN_LINES = 200
KEPT_LINES = 5000
MOST_ROWS = 9  # of the log, before it scrolls


class RunModel:
    """What is known of a run, fed by its events from any thread.

    Parameters
    ----------
    run : Run
    changed : callable
        Called after every event, in the thread where it happened; must return at once.
    """

    def __init__(self, run: Run, changed: Callable[[], None]) -> None:
        self.run = run
        self._changed = changed
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._heard = False
        self.log_version = 0
        self._unsubscribe = run.subscribe(self._hear)
        self.reread_log()

    @property
    def record(self) -> RunRecord:
        """The run's record as it is now."""
        return self.run.record

    @property
    def count(self) -> int:
        """How many lines of the log are kept."""
        return len(self._lines)

    def lines(self, search: str = "") -> list[str]:
        """Return the last lines of the log, of those that contain the text."""
        with self._lock:
            lines = list(self._lines)
        if search:
            lines = [line for line in lines if search.casefold() in line.casefold()]
        return lines[-SHOWN_LINES:]

    def reread_log(self) -> None:
        """Take the log as it is kept: for a run that began earlier, or in another process, or has ended."""
        lines = str(self.run.log).splitlines()
        with self._lock:
            if lines[-KEPT_LINES:] != list(self._lines):
                self._lines = deque(lines, maxlen=KEPT_LINES)
                self.log_version += 1

    def catch_up(self) -> None:
        """Look again at a run that sends no events because another process has it."""
        if not self._heard:
            self.reread_log()

    def close(self) -> None:
        """Listen no more."""
        self._unsubscribe()

    def _hear(self, event: RunEvent) -> None:
        self._heard = True
        if event.kind == "log":
            with self._lock:
                self._lines.extend(event.text.splitlines())
                self.log_version += 1
        self._changed()


class RunView(JobView):
    """State, progress, log, outputs and error of a run, live; for a run that has ended, as it ended.

    Parameters
    ----------
    run : Run, optional
        The run to show; `attach` shows another one.
    with_cancel : bool
        Whether it has its own Cancel button.
    ended : callable, optional
        Called when the shown run has ended and is painted, in the painting thread.
    painter : Painter
        Whose thread paints it.

    Call `close` when the view is no longer needed.
    """

    def __init__(
        self,
        run: Run | None = None,
        *,
        with_cancel: bool = True,
        ended: Callable[[], None] | None = None,
        painter: Painter = PAINTER,
    ) -> None:
        self._ended = ended
        self._model: RunModel | None = None
        self._painted_log: Any = None
        self._search = widgets.Text(
            placeholder="search the log",
            layout={"width": "180px", "flex": "0 1 180px", "margin": "0 0 0 6px"},
        )
        self._search.add_class("wb-search")
        self._search.observe(self._note, "value")
        self._log = widgets.HTML(layout={"overflow": "auto", "margin": "2px 0", "flex": "0 0 auto"})
        self._log.add_class("wb-log")
        super().__init__(in_head=[self._search], under=[self._log], painter=painter)
        self._cancel.layout.display = None if with_cancel else "none"
        if run is None:
            self.layout.display = "none"
        else:
            self.attach(run)

    @property
    def run(self) -> Run | None:
        """The run that is shown."""
        return self._model.run if self._model is not None else None

    def attach(self, run: Run) -> None:
        """Show this run from now on."""
        with self._lock:
            self._unsubscribe()
            self._painted_log = None
            self._result.value = ""
            self._cancel.disabled = False
            self._model = RunModel(run, self._note)
            self.layout.display = None
            self._follow(self._model.close)

    def __repr__(self) -> str:
        return run_text(self._model.run.record) if self._model is not None else "No run yet"

    @property
    def _job(self) -> Run | None:
        return self.run

    def _paint(self, tick: bool) -> None:
        model = self._model
        if model is None:
            return
        if tick:
            model.catch_up()
        record = model.record
        ends = record.status.is_final and not self._is_finished
        if ends:
            model.reread_log()
        if not self._is_finished:
            self._paint_head(model, record)
        self._paint_log(model)
        if ends:
            warned = "".join(f"<div class='wb-muted'>⚠ {html.escape(text)}</div>" for text in record.warnings)
            self._result.value = error_html(record) + warned + outputs_html(model.run.outputs)
            self._end()
            if self._ended is not None:
                self._ended()

    def _paint_head(self, model: RunModel, record: RunRecord) -> None:
        run = model.run
        message = run.message
        if self._cancel.disabled and not record.status.is_final:
            message = f"cancelling… {message}"
        fraction = 1.0 if record.status is RunStatus.COMPLETED else run.progress
        self._head.value = head_html(record, fraction, message, eta_s=run.eta_s, silence_s=run.silence_s)

    def _paint_log(self, model: RunModel) -> None:
        wanted = (id(model), model.log_version, self._search.value)
        if wanted == self._painted_log:
            return
        lines = model.lines(self._search.value)
        self._log.value = log_html(lines, self._search.value)
        # as high as all of the log wants, so that a search does not move what is below
        height = min(MOST_ROWS, model.count) * 17 + 6
        self._log.layout.height = f"{height}px"
        self._log.layout.display = None if model.count else "none"
        self._search.layout.visibility = "visible" if model.count else "hidden"
        self._painted_log = wanted
