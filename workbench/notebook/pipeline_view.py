"""A live view of a pipeline's run: its picture, with the state of each node while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.execution.run_html import error_html, head_html, outputs_html, run_text
from workbench.models import RunStatus
from workbench.notebook.job_view import JobView
from workbench.notebook.painter import PAINTER, Painter
from workbench.pipelines.drawing import run_picture
from workbench.pipelines.shape import shape_of

if TYPE_CHECKING:
    from workbench.execution.run import Run


class PipelineView(JobView):
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
        record = run.record
        self._shape = shape_of(record.nodes, record.pipeline_outputs)  # the boxes stay where they are
        self._painted: Any = None
        self._nodes = widgets.HTML(layout={"margin": "4px 0 0 0", "width": "100%"})
        self._nodes.add_class("wb-nodes")
        super().__init__(under=[self._nodes], painter=painter)
        self._follow(run.subscribe(self._note))

    def __repr__(self) -> str:
        return run_text(self.run.record)

    @property
    def _job(self) -> Run:
        return self.run

    def _paint(self, tick: bool) -> None:
        if self._is_finished:
            return
        record = self.run.record
        if record.nodes != self._painted:
            self._nodes.value = run_picture(record, self._shape)
            self._painted = record.nodes
        message = ", ".join(node.name for node in record.nodes if node.status == "RUNNING")
        if self._cancel.disabled and not record.status.is_final:
            message = f"cancelling… {message}"
        fraction = 1.0 if record.status is RunStatus.COMPLETED else self.run.progress
        self._head.value = head_html(record, fraction, message)
        if record.status.is_final:
            self._result.value = error_html(record) + outputs_html(self.run.outputs)
            self._end()
