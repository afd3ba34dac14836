"""A form made from the parameters of an algorithm or template: fill in, run, watch, look at the result, insert the cell that repeats it."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.execution.reuse import NEVER, ONLY
from workbench.notebook import where
from workbench.notebook.form_inputs import InputRows
from workbench.notebook.form_memory import FormMemory
from workbench.notebook.form_subjects import subject_of
from workbench.notebook.insert_cell import CellInserter
from workbench.notebook.parameter_rows import ParameterRow, grid_of, short
from workbench.notebook.preset_bar import PresetBar
from workbench.notebook.reuse_offer import QUICK_BYTES, ReuseOffer
from workbench.notebook.run_view import RunView
from workbench.notebook.style import CSS
from workbench.notebook.widget_tree import close_below

if TYPE_CHECKING:
    from workbench.algorithms.algorithm import Algorithm
    from workbench.batch import Template
    from workbench.execution.run import Run
    from workbench.library.dataset import Dataset
    from workbench.workspace import Workspace

DOUBLE_CLICK_S = 0.5
ANSWER_S = 2.0  # how long a front end may take to insert a cell


class Form(widgets.VBox):  # type: ignore[misc]
    """A form for one algorithm or template.

    Parameters
    ----------
    workspace : Workspace
    algorithm : str, path, Algorithm or Template
        As for ``ws.run``; a notebook (``.ipynb``) is a template, whose runs are always in the background.
    inputs : sequence
        Inputs to begin with: arrays, Datasets, ids, names, paths. Default: those of the last time.
    namespace : mapping, optional
        Variables that inputs may name; default: the user's.
    memory : FormMemory, optional
        Where values are remembered; default: in the workspace.

    Attributes
    ----------
    run : Run or None
        The last run that the form started.

    Call `close` when it is no longer needed; a run that goes on then is not cancelled.
    """

    def __init__(
        self,
        workspace: Workspace,
        algorithm: str | Algorithm | Template,
        inputs: Sequence[Any] = (),
        *,
        namespace: Mapping[str, Any] | None = None,
        memory: FormMemory | None = None,
    ) -> None:
        self._workspace = workspace
        self._subject = subject_of(workspace, algorithm)
        self._name = self._subject.name
        self._memory = memory or FormMemory(workspace.store)
        self._notebook = where.notebook()
        self.run: Run | None = None
        self._started_at = -DOUBLE_CLICK_S
        self._is_ready = False
        self._answer_timer: threading.Timer | None = None
        parameters = self._subject.parameters
        self._rows = [ParameterRow(spec, parameters, self._changed) for spec in parameters.specs]
        given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        variables = where.namespace if namespace is None else lambda: namespace
        self._inputs = InputRows(workspace, variables, given, self._changed)
        self._inputs.widget.layout.display = None if self._subject.takes_inputs else "none"
        self._presets = PresetBar(
            self._memory, self._name, self._right_values, self._show_preset, self._to_defaults
        )
        self._view = RunView(with_cancel=False, ended=self._refresh)
        self._make_buttons()
        super().__init__(self._parts(), layout={"width": "100%"})
        self.add_class("wb-form")
        self._recall(with_inputs=not given)
        self._is_ready = True
        self._refresh()
        self._look()
        self._shell = where.shell()
        if self._shell is not None:
            self._shell.events.register("post_run_cell", self._cell_ran)

    @property
    def values(self) -> dict[str, Any]:
        """The value of every parameter that has a right one."""
        return {row.spec.name: row.value for row in self._rows if row.has_value and not row.problem}

    @property
    def outputs(self) -> list[Dataset | str]:
        """The outputs of the last run."""
        return self.run.outputs if self.run is not None else []

    @property
    def problem(self) -> str | None:
        """Why the form cannot run: the first wrong field; None if all is right."""
        wrong = next((f"{row.spec.name}: {row.problem}" for row in self._rows if row.problem), None)
        return self._inputs.problem or wrong

    @property
    def is_running(self) -> bool:
        """Whether the last run still goes on."""
        return self.run is not None and not self.run.status.is_final

    def write(self, values: Mapping[str, Any]) -> list[str]:
        """Show values; return in words what was left out because the algorithm does not take it."""
        rows = {row.spec.name: row for row in self._rows}
        left_out = []
        for name, value in values.items():
            if name not in rows:
                left_out.append(f"{name} = {value!r} was dropped: it is no longer a parameter.")
            elif problem := self._subject.parameters.check(name, value):
                left_out.append(f"{name} = {value!r} was dropped: {short(problem)}")
            else:
                rows[name].field.write(value)
        return left_out

    def code(self) -> str:
        """Return the cell that repeats a click on Run, with all values, also those that are defaults today."""
        return self._subject.code(self._inputs.words(), self.values, background=self.in_background)

    @property
    def in_background(self) -> bool:
        """Whether a run gets a process of its own, which outlives the kernel."""
        return bool(self._background.value)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        return f"Form of {self._subject.label}" + (f": {values}" if values else "")

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data = super()._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": repr(self)} if isinstance(data, dict) else data

    def close(self) -> None:
        """Write what is to be remembered and take the widgets away."""
        if not hasattr(self, "_view"):  # refused before it was built, and now collected
            return
        self._memory.flush()
        if self._shell is not None:
            self._shell.events.unregister("post_run_cell", self._cell_ran)
            self._shell = None
        if self._answer_timer is not None:
            self._answer_timer.cancel()
        self._view.close()
        self._offer.close()
        close_below(self)
        super().close()

    # -- parts

    def _make_buttons(self) -> None:
        def button(text: str, icon: str, tip: str, click: Callable[[], None], style: str = "") -> Any:
            made = widgets.Button(description=text, icon=icon, tooltip=tip, button_style=style)
            made.layout.width, made.layout.flex = "auto", "0 0 auto"
            made.on_click(lambda _: click())
            return made

        self._run_button = button("Run", "play", "", self._run_clicked, "primary")
        self._cancel_button = button("Cancel", "stop", "Cancel the run", self._cancel_clicked)
        self._insert_button = button(
            "Insert cell", "code", "Insert a cell with the code that repeats this", self._insert_clicked
        )
        must_leave = self._subject.only_in_background
        can_leave = self._workspace.store.is_shared and not must_leave
        self._background = widgets.Checkbox(
            value=must_leave or (can_leave and self._workspace.settings.executor == "process"),
            description="in background",
            indent=False,
            disabled=not can_leave,
            tooltip="A process of its own: it goes on when the kernel ends, and can always be cancelled",
            layout={"width": "auto", "flex": "0 0 auto", "margin": "0 6px 0 2px"},
        )
        self._background.add_class("wb-check")
        self._offer = ReuseOffer(lambda: self._start(ONLY), lambda: self._start(NEVER))
        # takes what is left of the line, and never a line of its own
        self._reason = widgets.HTML(layout={"flex": "1 1 0", "min_width": "0"})
        self._notes = widgets.HTML()
        self._inserter = CellInserter(self._answered)
        self._copy = widgets.Textarea(layout={"width": "100%", "display": "none"})
        self._copy.add_class("wb-area")
        self._fold = widgets.ToggleButton(value=False, layout={"width": "auto"})
        self._fold.add_class("wb-fold")

    def _parts(self) -> list[Any]:
        main = [row for row in self._rows if row.spec.adjustable]
        # with nothing to fold away from, nothing is folded
        self._advanced = [row for row in self._rows if not row.spec.adjustable] if main else []
        advanced = grid_of(self._advanced)

        def fold(change: Any = None) -> None:
            self._fold.description = f"{'▾' if self._fold.value else '▸'} Advanced ({len(self._advanced)})"
            advanced.layout.display = None if self._fold.value else "none"

        self._fold.layout.display = None if self._advanced else "none"
        self._fold.observe(fold, "value")
        fold()
        buttons = widgets.HBox(
            [
                self._run_button,
                self._background,
                self._cancel_button,
                self._insert_button,
                self._offer,
                self._reason,
            ],
            layout={"align_items": "center", "flex_flow": "row wrap", "margin": "4px 0 0 0"},
        )
        style = widgets.HTML(CSS)
        style.add_class("wb-style")
        fields = [
            self._inputs.widget,
            grid_of(main or self._rows),
            self._fold,
            advanced,
            self._presets.widget,
        ]
        return [style, self._header(), *fields, buttons, self._notes, self._copy, self._inserter, self._view]

    def _header(self) -> Any:
        label, facts, description = (
            html.escape(text)
            for text in (self._subject.label, self._subject.facts, self._subject.description)
        )
        header = widgets.HTML(
            f"<b>{label}</b> <span class='wb-muted'>{facts}</span><div class='wb-muted'>{description}</div>"
        )
        header.add_class("wb-head")
        return header

    # -- what changes

    def _right_values(self) -> dict[str, Any] | None:
        return None if any(row.problem for row in self._rows) else self.values

    def _changed(self) -> None:
        if self._is_ready:
            self._refresh()
            self._look()
            self._memory.remember(self._notebook, self._name, self.values, self._inputs.words())

    def _refresh(self) -> None:
        """Bring buttons and messages in line with fields and run; from any thread."""
        problem, running = self.problem, self.is_running
        self._run_button.disabled = running or problem is not None
        self._run_button.tooltip = problem or ("It is running" if running else "Run it")
        self._cancel_button.disabled = not running
        self._insert_button.disabled = problem is not None or self._inputs.unnamed is not None
        self._presets.refresh()
        self._say(problem or "", bad=True)
        if any(row.problem for row in self._advanced):
            self._fold.value = True
        if self._memory.note:
            self._note(self._memory.note)

    def _cell_ran(self, result: Any) -> None:
        self._inputs.refresh()
        self._refresh()
        self._look()

    def _look(self) -> None:
        """Look for a completed run that is the same; inputs that take long to hash wait for the click on Run."""
        can_ask = self._subject.offers_reuse and self.problem is None and not self.is_running
        given = self._inputs.quick_values(QUICK_BYTES) if can_ask else None
        values = self.values
        self._offer.look(None if given is None else lambda: self._find(given, values))

    def _find(self, given: Sequence[Any], values: Mapping[str, Any]) -> Run | None:
        """Return the run that can stand for this one, unless its results are shown already."""
        found = self._subject.find(given, values)
        shown = {self.run.id, self.run.reused_from} if self.run is not None else set()
        return None if found is None or found.id in shown else found

    def _say(self, text: str, *, bad: bool = False) -> None:
        self._reason.value = f'<span class="{"wb-bad" if bad else "wb-muted"}">{html.escape(text)}</span>'

    def _note(self, *texts: str) -> None:
        self._notes.value = "".join(
            f'<div class="wb-muted">{html.escape(text)}</div>' for text in texts if text
        )

    def _recall(self, *, with_inputs: bool) -> None:
        remembered = self._memory.recall(self._notebook, self._name)
        left_out = self.write(remembered.values)
        if with_inputs and remembered.inputs:
            self._inputs.set_words(remembered.inputs)
        self._note(remembered.note, *left_out)

    # -- clicks

    def _run_clicked(self) -> None:
        self._start(self._workspace.settings.reuse)

    def _start(self, reuse: str) -> None:
        """Run it; where nothing was looked for yet, a run that is known is offered first, once."""
        if self.is_running or self.problem or time.monotonic() - self._started_at < DOUBLE_CLICK_S:
            return
        self._run_button.disabled = True
        self._note()
        try:
            given = self._inputs.values()
            is_unknown = self._offer.run is None and self._inputs.quick_values(QUICK_BYTES) is None
            if self._subject.offers_reuse and is_unknown:
                known = self._find(given, self.values)
                if known is not None:
                    self._refresh()
                    self._offer.show(known)
                    return
            self.run = self._subject.start(given, self.values, background=self.in_background, reuse=reuse)
        except WorkbenchError as error:
            self._refresh()
            self._say(str(error), bad=True)
            return
        self._started_at = time.monotonic()
        self._offer.look(None)
        self._memory.remember(self._notebook, self._name, self.values, self._inputs.words())
        self._memory.flush()
        self._view.attach(self.run)
        self._refresh()

    def _cancel_clicked(self) -> None:
        if self.run is not None and self.is_running:
            self.run.cancel()
            self._cancel_button.disabled = True
            kills = self.run.record.executor == "process"
            self._say(
                "Cancelling: it is killed if it does not end by itself."
                if kills
                else "Cancelling: it ends at its next log, progress or data call."
            )

    def _to_defaults(self) -> None:
        for row in self._rows:
            row.reset()
        self._note("All parameters are at their defaults.")

    def _show_preset(self, values: Mapping[str, Any]) -> None:
        self._note(*self.write(values))

    def _insert_clicked(self) -> None:
        self._copy.value = code = self.code()
        if self._shell is not None and getattr(self._shell, "kernel", None) is None:
            self._shell.set_next_input(code, replace=False)
            return
        self._answer_timer = threading.Timer(ANSWER_S, self._answered, [False])
        self._answer_timer.daemon = True
        self._answer_timer.start()
        self._inserter.ask(self.model_id, code)

    def _answered(self, inserted: bool) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
        self._note("" if inserted else "This front end takes no cells from a form. Copy this into a new one:")
        self._copy.layout.display = "none" if inserted else None
