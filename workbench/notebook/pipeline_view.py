"""A live view of a pipeline's run: its picture, with the state of each node while it runs."""

from __future__ import annotations

import html
import threading
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.execution.run_html import error_html, head_html, outputs_html, run_text
from workbench.models import RunRecord, RunStatus
from workbench.notebook.painter import PAINTER, Painter
from workbench.notebook.style import CSS
from workbench.notebook.widget_tree import close_below
from workbench.pipelines.drawing import run_picture
from workbench.pipelines.shape import shape_of

if TYPE_CHECKING:
    from workbench.execution.events import RunEvent
    from workbench.execution.run import Run


class PipelineView(widgets.VBox):  # type: ignore[misc]
    """State and nodes of a pipeline's run while it goes on; what it gave, or why it failed, when it has ended.

    Parameters
    ----------
    run : Run
        Of a pipeline.
    painter : Painter
        Whose thread paints it.

    Call `close` when the view is no longer needed; the run goes on.
    """

    def __init__(self, run: Run, *, painter: Painter = PAINTER) -> None:
        self.run = run
        self._painter = painter
        self._lock = threading.RLock()
        self._is_finished = False
        record = run.record
        self._shape = shape_of(record.nodes, record.pipeline_outputs)  # the boxes stay where they are
        self._painted: Any = None
        self._head = widgets.HTML(layout={"flex": "1 1 0", "min_width": "0", "margin": "0"})
        self._head.add_class("wb-line")
        self._cancel = widgets.Button(
            description="Cancel", icon="stop", layout={"width": "90px", "flex": "0 0 auto"}
        )
        self._cancel.on_click(lambda button: self._ask_cancel())
        self._nodes = widgets.HTML(layout={"margin": "4px 0 0 0", "width": "100%"})
        self._nodes.add_class("wb-nodes")
        self._result = widgets.HTML(layout={"margin": "0"})
        self._style = widgets.HTML(CSS)
        self._style.add_class("wb-style")
        head = widgets.HBox([self._head, self._cancel], layout={"align_items": "center", "width": "100%"})
        super().__init__([self._style, head, self._nodes, self._result], layout={"width": "100%"})
        self.add_class("wb-view")
        self._unsubscribe = run.subscribe(self._hear)
        self.paint()
        if not self._is_finished:
            painter.tick(self, True)

    def paint(self, *, tick: bool = False) -> None:
        """Bring the widgets up to date now."""
        with self._lock:
            if self.comm is None or self._is_finished:
                return
            record = self.run.record
            if record.nodes != self._painted:
                self._painted = record.nodes
                self._nodes.value = run_picture(record, self._shape)
            self._paint_head(record)
            if record.status.is_final:
                self._finish(record)

    def __repr__(self) -> str:
        return run_text(self.run.record)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data = super()._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": repr(self)} if isinstance(data, dict) else data

    def close(self) -> None:
        """Listen no more and take the widgets away; the run goes on."""
        self._painter.forget(self)
        self._unsubscribe()
        with self._lock:
            close_below(self)
            super().close()

    def _hear(self, event: RunEvent) -> None:
        self._painter.ask(self)

    def _paint_head(self, record: RunRecord) -> None:
        running = [node.name for node in record.nodes if node.status == "RUNNING"]
        message = ", ".join(running) if running else ""
        if self._cancel.disabled and not record.status.is_final:
            message = f"cancelling… {message}"
        fraction = 1.0 if record.status is RunStatus.COMPLETED else self.run.progress
        self._head.value = head_html(record, fraction, message)

    def _finish(self, record: RunRecord) -> None:
        self._is_finished = True
        self._painter.tick(self, False)
        self._unsubscribe()
        self._cancel.disabled = True
        self._result.value = error_html(record) + outputs_html(self.run.outputs)

    def _ask_cancel(self) -> None:
        self._cancel.disabled = True
        try:
            self.run.cancel()
        except Exception as error:
            self._result.value = f"<span class='wb-bad'>{html.escape(str(error))}</span>"
            self._cancel.disabled = False
