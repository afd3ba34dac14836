"""A live view of a sweep: one line, the newest failures, a button. As light for a thousand points as for ten."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from workbench.batch.sweep_html import head_html, sweep_html, sweep_text
from workbench.notebook.job_view import JobView
from workbench.notebook.painter import PAINTER, Painter

if TYPE_CHECKING:
    from workbench.batch.sweep import Sweep, SweepEvent

SHOWN_FAILURES = 5


class SweepView(JobView):
    """State, progress and failures of a sweep while it goes on; its table when it has ended.

    Parameters
    ----------
    sweep : Sweep
    painter : Painter
        Whose thread paints it.

    Call `close` when the view is no longer needed; the sweep goes on.
    """

    def __init__(self, sweep: Sweep, *, painter: Painter = PAINTER) -> None:
        self.sweep = sweep
        self._failures: list[tuple[int, str]] = []
        super().__init__(painter=painter)
        self._follow(sweep.subscribe(self._hear))

    def __repr__(self) -> str:
        return sweep_text(self.sweep)

    @property
    def _job(self) -> Sweep:
        return self.sweep

    def _paint(self, tick: bool) -> None:
        if self._is_finished:
            return
        if tick:
            self.sweep.wait(0)  # looks at runs of a process that sends no events here
        is_active = self.sweep.is_active
        self._head.value = head_html(self.sweep)
        self._result.value = self._failures_html() if is_active else sweep_html(self.sweep)
        if not is_active:
            self._end()

    def _hear(self, event: SweepEvent) -> None:
        if event.point is not None and event.status in ("FAILED", "LOST"):
            self._failures.append((event.point, self.sweep.point(event.point).error))
        self._note()

    def _failures_html(self) -> str:
        shown = self._failures[-SHOWN_FAILURES:]
        lines = "".join(
            f"<div class='wb-bad'>point {point}: {html.escape(error)}</div>" for point, error in shown
        )
        more = len(self._failures) - len(shown)
        return lines + (f"<div class='wb-muted'>… {more} failures before</div>" if more else "")
