"""The parameters of a form: one row each, with its message."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.models import ParameterSpec
from workbench.notebook.type_map import field_for
from workbench.notebook.typed_text import NoValueError

if TYPE_CHECKING:
    from workbench.algorithms.parameters import Parameters
    from workbench.notebook.fields import Field


class ParameterRow:
    """One parameter: label, field, unit, and its help text or what is wrong with the value.

    Parameters
    ----------
    spec : ParameterSpec
    parameters : Parameters
        Says what is wrong with a value.
    changed : callable
        Called after every change.
    field : Field, optional
        Default: that of the parameter's type.
    """

    def __init__(
        self,
        spec: ParameterSpec,
        parameters: Parameters,
        changed: Callable[[], None],
        field: Field | None = None,
    ) -> None:
        self.spec = spec
        self._parameters = parameters
        self._changed = changed
        self.problem: str | None = None
        self.has_value = False
        self.value: Any = None
        self.field = field_for(spec) if field is None else field
        self.field.widget.add_class("wb-field")
        self._label = widgets.HTML(f'<span title="{html.escape(spec.type)}">{html.escape(spec.name)}</span>')
        self._label.add_class("wb-label")
        self._unit = widgets.HTML(html.escape(spec.unit))
        self._unit.add_class("wb-unit")
        self._say = widgets.HTML()
        self._say.add_class("wb-say")
        self.field.on_change(self._check)
        self._check()

    def cells(self) -> list[Any]:
        """Return its widgets, in the columns of the form's grid."""
        return [self._label, self.field.widget, self._unit, self._say]

    def reset(self) -> None:
        """Show the declared default."""
        if self.spec.default is not None or self.spec.optional:
            self.field.write(self.spec.default)
        else:
            self.field.clear()

    def complain(self, problem: str | None) -> None:
        """Show what is wrong with the value beside the values of other rows; None where nothing is."""
        self.problem = problem
        self._show_problem()

    def _check(self) -> None:
        self.problem, self.has_value = None, False
        try:
            self.value = self.field.read()
            self.has_value = True
            self.problem = short(self._parameters.check(self.spec.name, self.value) or "") or None
        except NoValueError as error:
            if self._parameters.is_required(self.spec.name):
                self.problem = str(error)
        except ValueError as error:
            self.problem = str(error)
        self._show_problem()
        self._changed()

    def _show_problem(self) -> None:
        self._say.value = say(self.spec.description, self.problem)
        (self.field.widget.add_class if self.problem else self.field.widget.remove_class)("wb-wrong")


def say(text: str, problem: str | None) -> str:
    """Return the last column of a row: the problem in place of the text.

    Both lie on top of each other, so the row keeps its height when a message comes and goes.
    """
    hidden = ' style="visibility:hidden"' if problem else ""
    shown = problem[0].upper() + problem[1:] if problem else ""
    return f'<span class="wb-help"{hidden}>{html.escape(text)}</span><span class="wb-bad">{html.escape(shown)}</span>'


def grid_of(rows: Sequence[ParameterRow]) -> Any:
    """Return the grid that shows rows below each other, in aligned columns."""
    grid = widgets.GridBox([cell for row in rows for cell in row.cells()])
    grid.add_class("wb-grid")
    return grid


def short(message: str) -> str:
    """Return a message of `Parameters.check` without what the field's own place says already.

    >>> short("Parameter 'n' is 0, expected at least 1. Pass n=1 or larger.")
    'expected at least 1. Pass n=1 or larger.'
    """
    _, found, rest = message.partition(", expected ")
    return f"expected {rest}" if found else message
