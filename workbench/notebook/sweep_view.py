"""A live view of a sweep: one line, the newest failures, a button. As light for a thousand points as for ten."""

from __future__ import annotations

import html
import threading
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.batch.sweep_html import head_html, sweep_html, sweep_text
from workbench.notebook.painter import PAINTER, Painter
from workbench.notebook.style import CSS
from workbench.notebook.widget_tree import close_below

if TYPE_CHECKING:
    from workbench.batch.sweep import Sweep, SweepEvent

SHOWN_FAILURES = 5


class SweepView(widgets.VBox):  # type: ignore[misc]
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
        self._painter = painter
        self._lock = threading.RLock()
        self._failures: list[tuple[int, str]] = []
        self._is_finished = False
        self._head = widgets.HTML(layout={"flex": "1 1 0", "min_width": "0", "margin": "0"})
        self._head.add_class("wb-line")
        self._cancel = widgets.Button(
            description="Cancel", icon="stop", layout={"width": "90px", "flex": "0 0 auto"}
        )
        self._cancel.on_click(lambda button: self._ask_cancel())
        self._body = widgets.HTML(layout={"margin": "0"})
        self._style = widgets.HTML(CSS)
        self._style.add_class("wb-style")
        head = widgets.HBox([self._head, self._cancel], layout={"align_items": "center", "width": "100%"})
        super().__init__([self._style, head, self._body], layout={"width": "100%"})
        self.add_class("wb-view")
        self._unsubscribe = sweep.subscribe(self._hear)
        self.paint()
        if not self._is_finished:
            painter.tick(self, True)

    def paint(self, *, tick: bool = False) -> None:
        """Bring the widgets up to date now."""
        with self._lock:
            if self.comm is None or self._is_finished:
                return
            if tick:
                self.sweep.wait(0)  # looks at runs of a process that sends no events here
            self._head.value = head_html(self.sweep)
            if self.sweep.is_active:
                self._body.value = self._failures_html()
            else:
                self._is_finished = True
                self._painter.tick(self, False)
                self._unsubscribe()
                self._cancel.disabled = True
                self._body.value = sweep_html(self.sweep)

    def __repr__(self) -> str:
        return sweep_text(self.sweep)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data = super()._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": repr(self)} if isinstance(data, dict) else data

    def close(self) -> None:
        """Listen no more and take the widgets away; the sweep goes on."""
        self._painter.forget(self)
        self._unsubscribe()
        with self._lock:
            close_below(self)
            super().close()

    def _hear(self, event: SweepEvent) -> None:
        if event.point is not None and event.status in ("FAILED", "LOST"):
            self._failures.append((event.point, self.sweep.point(event.point).error))
        self._painter.ask(self)

    def _failures_html(self) -> str:
        shown = self._failures[-SHOWN_FAILURES:]
        lines = "".join(
            f"<div class='wb-bad'>point {point}: {html.escape(error)}</div>" for point, error in shown
        )
        more = len(self._failures) - len(shown)
        return lines + (f"<div class='wb-muted'>… {more} failures before</div>" if more else "")

    def _ask_cancel(self) -> None:
        self._cancel.disabled = True
        try:
            self.sweep.cancel()
        except Exception as error:
            self._body.value = f"<span class='wb-bad'>{html.escape(str(error))}</span>"
            self._cancel.disabled = False
