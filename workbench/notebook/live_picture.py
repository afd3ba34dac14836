"""The picture of a pipeline under the cell that runs it, updated in place while the cell is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.execution.run_html import head_html
from workbench.notebook.live_line import LiveLine
from workbench.notebook.style import CSS
from workbench.pipelines.drawing import run_picture
from workbench.pipelines.shape import Shape, shape_of

if TYPE_CHECKING:
    from workbench.execution.events import RunEvent
    from workbench.execution.run import Run
    from workbench.execution.runs import Runs


class LivePicture(LiveLine):
    """Shows the nodes of a pipeline that the cell waits for; no widget, and it leaves nothing behind."""

    def __init__(self, shell: Any, runs: Runs, *, enabled: bool = True) -> None:
        super().__init__(shell, enabled=enabled)
        self._runs = runs
        self._run: Run | None = None
        self._shape: Shape | None = None

    def _draw(self, event: RunEvent, seconds: float, left_s: float | None) -> None:
        from IPython.display import HTML, display

        if self._run is None:
            self._run = self._runs.get(event.run_id)
        record = self._run.record
        if self._shape is None:
            self._shape = shape_of(record.nodes, record.pipeline_outputs)
        head = head_html(record, event.fraction, event.message)
        page = HTML(f"{CSS}<div class='wb-view'>{head}{run_picture(record, self._shape)}</div>")
        if self._display is None:
            self._display = display(page, display_id=True)
        else:
            self._display.update(page)
