"""The offer of a form: what it asks for was computed already; use that, or compute again."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.execution.reuse import day
from workbench.notebook.painter import Painter

if TYPE_CHECKING:
    from workbench.execution.run import Run

#: bytes of inputs up to which a change of a field looks for a run; above, the click on Run does
QUICK_BYTES = 4 << 20

# a thread of its own: a catalog that answers slowly must not hold up what shows running runs
_LOOKING = Painter()


class ReuseOffer(widgets.HBox):  # type: ignore[misc]
    """One line that appears when a completed run is found, and goes with the next change.

    Parameters
    ----------
    use, again : callable
        Called by its buttons.
    """

    def __init__(self, use: Callable[[], None], again: Callable[[], None]) -> None:
        self._question: Callable[[], Run | None] | None = None
        self._asking = threading.Lock()
        self.run: Run | None = None
        self._text = widgets.HTML(layout={"flex": "0 1 auto", "min_width": "0"})
        self._text.add_class("wb-offer")
        self._use = self._button("Use it", "Show what that run computed; nothing runs", use)
        self._again = self._button("Compute again", "Run the algorithm all the same", again)
        super().__init__(
            [self._text, self._use, self._again],
            # beside the other buttons where there is room, else on a line of its own
            layout={"align_items": "center", "min_width": "0", "flex": "100 1 460px"},
        )
        self.hide()

    def look(self, question: Callable[[], Run | None] | None) -> None:
        """Ask soon, in another thread, for a run to offer; until then, and for None, offer nothing."""
        self._question = question
        self.hide()
        if question is not None:
            _LOOKING.ask(self)

    def paint(self, *, tick: bool = False) -> None:
        """Ask now, and show the answer if nothing has changed meanwhile."""
        with self._asking:
            question = self._question
            if question is None or self.comm is None:
                return
            try:
                found = question()
            except (WorkbenchError, OSError):  # what is wrong is said when Run is clicked
                return
            if found is not None and self._question is question:
                self.show(found)

    def show(self, run: Run) -> None:
        """Offer a run."""
        self.run = run
        self._text.value = (
            f'<span class="wb-muted" title="run {html.escape(run.id)}">Already computed on {day(run.id)} '
            f"(run {html.escape(run.id)})</span>"
        )
        self.layout.display = None

    def hide(self) -> None:
        """Offer nothing."""
        self.run = None
        self.layout.display = "none"

    def close(self) -> None:
        """Look no more, wait for a look that is under way, and take the widgets away."""
        self._question = None
        _LOOKING.forget(self)
        with self._asking:
            super().close()

    def _button(self, text: str, tip: str, click: Callable[[], None]) -> Any:
        made = widgets.Button(description=text, tooltip=tip)
        made.layout.width, made.layout.flex = "auto", "0 0 auto"
        made.on_click(lambda _: click())
        return made
