"""One line under a cell that shows how a run in the calling thread is doing: a bar, a message, the last log line."""

from __future__ import annotations

import html
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from workbench.execution.pace import Growth, duration

if TYPE_CHECKING:
    from workbench.execution.events import RunEvent

SHOW_AFTER_S = 0.5
INTERVAL_S = 0.1


class LiveLine:
    """Shows events of a run in a kernel's cell while the cell is busy; nothing in a terminal, nothing for short runs.

    It is an output that is updated in place, no widget: it needs no live front end and leaves nothing behind.
    """

    def __init__(self, shell: Any, *, enabled: bool = True) -> None:
        self._enabled = enabled and hasattr(shell, "kernel")
        self._thread = threading.get_ident()
        self._begin = self._last = 0.0
        self._line = ""
        self._growth = Growth()
        self._display: Any = None

    def __enter__(self) -> Self:
        self._begin = time.monotonic()
        return self

    def show(self, event: RunEvent) -> None:
        """Take an event; draw it if it is time and the thread is the cell's own (others would land in another cell)."""
        if event.kind == "log" and event.text:
            self._line = event.text.rstrip("\n").rsplit("\n", 1)[-1]
        moment = time.monotonic()
        left_s = self._growth.eta_s(event.fraction)
        if (
            not self._enabled
            or threading.get_ident() != self._thread
            or moment - self._begin < SHOW_AFTER_S
            or moment - self._last < INTERVAL_S
        ):
            return
        self._last = moment
        self._draw(event, moment - self._begin, left_s)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            from IPython.display import HTML

            self._display.update(HTML(""))

    def _draw(self, event: RunEvent, seconds: float, left_s: float | None) -> None:
        from IPython.display import HTML, display

        left = "" if left_s is None else f" · about {duration(left_s)} left"

        percent = f"{event.fraction:.0%}"
        page = HTML(
            "<div style='font-size:90%;line-height:1.6'>"
            f"<progress value='{event.fraction:.3f}' max='1' style='width:220px;vertical-align:middle'></progress> "
            f"{percent} · {seconds:.0f} s{left} · {html.escape(event.message or str(event.status))}"
            f"<div style='opacity:.7;white-space:nowrap;overflow:hidden;text-overflow:ellipsis'>"
            f"<code>{html.escape(self._line)}</code></div></div>"
        )
        if self._display is None:
            self._display = display(page, display_id=True)
        else:
            self._display.update(page)
