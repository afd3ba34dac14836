"""What the live views of runs, pipelines and sweeps share: a head line with Cancel, parts under it, an end."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import ipywidgets as widgets

from workbench.notebook.painter import PAINTER, Painter
from workbench.notebook.style import CSS
from workbench.notebook.widget_tree import close_below


class Job(Protocol):
    """What goes on by itself and can be asked to stop."""

    def cancel(self) -> object:
        """Ask it to stop."""
        ...


class JobView(widgets.VBox):  # type: ignore[misc]
    """Painted by the painter's thread until the job ends; a slow or dead front end costs the job nothing.

    A view says in `_paint` how it looks, calls `_follow` when it is ready for that, and `_end` when the job has ended.

    Parameters
    ----------
    under : sequence of Widget
        Between the head line and the result.
    in_head : sequence of Widget
        In the head line, before the Cancel button.
    painter : Painter
        Whose thread paints it.
    """

    def __init__(
        self, *, under: Sequence[Any] = (), in_head: Sequence[Any] = (), painter: Painter = PAINTER
    ) -> None:
        self._painter = painter
        self._lock = threading.RLock()
        self._is_finished = False
        self._unsubscribe: Callable[[], object] = _nothing
        self._head = widgets.HTML(layout={"flex": "1 1 0", "min_width": "0", "margin": "0"})
        self._head.add_class("wb-line")
        self._cancel = widgets.Button(
            description="Cancel", icon="stop", layout={"width": "90px", "flex": "0 0 auto"}
        )
        self._cancel.on_click(lambda button: self._ask_cancel())
        self._result = widgets.HTML(layout={"margin": "0"})
        self._style = widgets.HTML(CSS)
        self._style.add_class("wb-style")
        head = widgets.HBox(
            [self._head, *in_head, self._cancel], layout={"align_items": "center", "width": "100%"}
        )
        super().__init__([self._style, head, *under, self._result], layout={"width": "100%"})
        self.add_class("wb-view")

    def paint(self, *, tick: bool = False) -> None:
        """Bring the widgets up to date now."""
        with self._lock:
            if self.comm is not None:
                self._paint(tick)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data = super()._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": repr(self)} if isinstance(data, dict) else data

    def close(self) -> None:
        """Listen no more and take the widgets away; what is shown goes on."""
        self._painter.forget(self)
        with self._lock:
            self._unsubscribe()
            close_below(self)
            super().close()

    @property
    def _job(self) -> Job | None:
        """What Cancel stops."""
        raise NotImplementedError

    def _paint(self, tick: bool) -> None:
        raise NotImplementedError

    def _follow(self, unsubscribe: Callable[[], object]) -> None:
        """Paint now, and every second until the job has ended."""
        self._is_finished = False
        self._unsubscribe = unsubscribe
        self.paint()
        if not self._is_finished:
            self._painter.tick(self, True)

    def _end(self) -> None:
        """The job has ended and all of it is painted."""
        self._is_finished = True
        self._painter.tick(self, False)
        self._unsubscribe()
        self._cancel.disabled = True

    def _note(self, event: object = None) -> None:
        self._painter.ask(self)

    def _ask_cancel(self) -> None:
        job = self._job
        if job is None or self._is_finished:
            return
        self._cancel.disabled = True
        try:
            job.cancel()
        except Exception as error:
            self._result.value = f"<span class='wb-bad'>{html.escape(str(error))}</span>"
            self._cancel.disabled = False


def _nothing() -> None:
    pass
