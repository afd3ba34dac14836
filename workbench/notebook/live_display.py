"""A run that is displayed while it goes on is kept up to date where it stands.

As plain HTML and no widget: many of them cost nothing, and the saved notebook shows the last of it without a kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.notebook.painter import PAINTER, Painter

if TYPE_CHECKING:
    from workbench.execution.events import RunEvent
    from workbench.execution.run import Run

_TYPE = ("workbench.execution.run", "Run")


class LiveDisplay:
    """The output of a run: painted once a second, at every change of state (of a pipeline, also of its nodes), and for the last time at its end.

    Parameters
    ----------
    run : Run
    painter : Painter
        Whose thread paints it.
    """

    def __init__(self, run: Run, painter: Painter = PAINTER) -> None:
        from IPython.display import display

        self._run = run
        self._painter = painter
        self._handle: Any = display(self._bundle(), raw=True, display_id=True)
        self._unsubscribe = run.subscribe(self._hear)
        painter.tick(self, True)
        painter.ask(self)  # it may have ended meanwhile

    def paint(self, *, tick: bool = False) -> None:
        """Bring the output up to date."""
        is_over = self._run.record.status.is_final
        self._handle.update(self._bundle(), raw=True)
        if is_over:
            self._unsubscribe()
            self._painter.forget(self)

    def _hear(self, event: RunEvent) -> None:
        if event.kind == "state" or (event.kind == "progress" and self._run.record.nodes):
            self._painter.ask(self)

    def _bundle(self) -> dict[str, str]:
        return _bundle(self._run)


def install(shell: Any) -> None:
    """Let a shell with a front end display runs so."""
    if hasattr(shell, "kernel"):
        shell.display_formatter.ipython_display_formatter.for_type_by_name(*_TYPE, show)


def remove(shell: Any) -> None:
    """Let the shell display runs as it does without this."""
    formatter = shell.display_formatter.ipython_display_formatter
    formatter.deferred_printers.pop(_TYPE, None)
    for known in [cls for cls in formatter.type_printers if (cls.__module__, cls.__name__) == _TYPE]:
        formatter.pop(known)


def show(run: Run) -> None:
    """Display a run; one that goes on, live."""
    from IPython.display import display

    if run.record.status.is_final:
        display(_bundle(run), raw=True)
    else:
        LiveDisplay(run)


def _bundle(run: Run) -> dict[str, str]:
    return {"text/plain": repr(run), "text/html": run._repr_html_()}
