"""Fields: the widgets of one value. A field shows a value and gives back the same value, bit for bit.

The typed text is the truth of every number: the number boxes of browsers hold doubles, so 2**53 + 1 would come back
as another number, and an empty box as 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import ipywidgets as widgets

from workbench.models import ParameterSpec
from workbench.notebook.typed_text import NoValueError, option_label


class Field(ABC):
    """The widgets of one parameter.

    Attributes
    ----------
    widget : ipywidgets.Widget
        What the form places in the field's column.
    """

    widget: Any

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []
        self._is_writing = False

    @abstractmethod
    def read(self) -> Any:
        """Return the value that the widgets show.

        Raises
        ------
        NoValueError
            If nothing was typed or chosen yet.
        ValueError
            If what was typed is no value of this kind; the message completes "sigma: ...".
        """

    def write(self, value: Any) -> None:
        """Show a value, whether it fits the declaration or not, and tell the listeners once."""
        with self._writing():
            self._show(value)
        self._changed()

    def clear(self) -> None:
        """Show no value at all: reading then says that one is needed."""
        with self._writing():
            self._show_nothing()
        self._changed()

    @abstractmethod
    def _show(self, value: Any) -> None: ...

    @abstractmethod
    def _show_nothing(self) -> None: ...

    @abstractmethod
    def set_enabled(self, enabled: bool) -> None:
        """Let the user edit the field, or not."""

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call the listener after every change, typed or written."""
        self._listeners.append(listener)

    def _changed(self) -> None:
        if not self._is_writing:
            for listener in self._listeners:
                listener()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        before, self._is_writing = self._is_writing, True
        try:
            yield
        finally:
            self._is_writing = before


class TypedField(Field):
    """A text box whose text is parsed.

    Parameters
    ----------
    parse : callable
        Text → value; raises ValueError.
    show : callable
        Value → text, so that ``parse(show(value)) == value``.
    box : ipywidgets.Text or ipywidgets.Textarea
        Where it is typed.
    """

    def __init__(self, parse: Callable[[str], Any], show: Callable[[Any], str], box: Any) -> None:
        super().__init__()
        self._parse, self._text_of, self.widget = parse, show, box
        self._is_set = False
        box.observe(self._typed, "value")

    def _typed(self, change: Any) -> None:
        if not self._is_writing:
            self._is_set = True
            self._changed()

    def read(self) -> Any:
        """Return the parsed text."""
        if not self._is_set:
            raise NoValueError
        return self._parse(self.widget.value)

    def _show(self, value: Any) -> None:
        self._is_set = True
        text = self._text_of(value)
        if isinstance(self.widget, widgets.Textarea):
            self.widget.rows = min(8, max(1, text.count("\n") + 1))
        self.widget.value = text

    def _show_nothing(self) -> None:
        self._is_set = False
        self.widget.value = ""

    def set_enabled(self, enabled: bool) -> None:
        """Let the user type, or not."""
        self.widget.disabled = not enabled


class SwitchField(Field):
    """A check box."""

    def __init__(self) -> None:
        super().__init__()
        self.widget = widgets.Checkbox(indent=False, layout={"width": "auto"})
        self.widget.observe(lambda change: self._changed(), "value")

    def read(self) -> bool:
        """Return whether it is ticked."""
        return bool(self.widget.value)

    def _show(self, value: Any) -> None:
        self.widget.value = bool(value)

    def _show_nothing(self) -> None:
        self.widget.value = False

    def set_enabled(self, enabled: bool) -> None:
        """Let the user tick it, or not."""
        self.widget.disabled = not enabled


class ChoiceField(Field):
    """A drop-down list. A value that is no option is kept, and shown as nothing chosen."""

    def __init__(self, options: Sequence[Any]) -> None:
        super().__init__()
        self._options = list(options)
        self._foreign: list[Any] = []
        labels = [option_label(option) for option in self._options]
        # chosen by index: 1, 1.0 and True are equal, and nan is not even equal to itself
        self.widget = widgets.Dropdown(options=list(zip(labels, range(len(labels)), strict=True)), index=None)
        self.widget.layout.width = "100%"
        self.widget.observe(self._chosen, "index")

    def _chosen(self, change: Any) -> None:
        if not self._is_writing:
            self._foreign = []
            self._changed()

    def read(self) -> Any:
        """Return the chosen option."""
        if self._foreign:
            return self._foreign[0]
        if self.widget.index is None:
            raise NoValueError
        option = self._options[self.widget.index]
        return list(option) if isinstance(option, tuple) else option

    def _show(self, value: Any) -> None:
        index = next((i for i, option in enumerate(self._options) if _same(option, value)), None)
        self._foreign = [value] if index is None else []
        self.widget.index = index

    def _show_nothing(self) -> None:
        self._foreign = []
        self.widget.index = None

    def set_enabled(self, enabled: bool) -> None:
        """Let the user choose, or not."""
        self.widget.disabled = not enabled


class Steps:
    """The numbers that a slider can stand at: from min in whole steps, and max.

    >>> steps = Steps(ParameterSpec(name="p", type="float_range", min=0.0, max=1.0, step=0.3))
    >>> [steps.value(i) for i in range(steps.count + 1)], steps.nearest(0.65)
    ([0.0, 0.3, 0.6, 0.9, 1.0], 2)
    """

    def __init__(self, spec: ParameterSpec) -> None:
        # decimal, because 0.1 three times is 0.30000000000000004 in binary
        self._low, self._high = Decimal(repr(spec.min)), Decimal(repr(spec.max))
        step = Decimal(repr(spec.step)) if spec.step is not None else Decimal(0)
        self._step = abs(step) or (
            Decimal(1) if spec.type.startswith("int") else (self._high - self._low) / 100
        )
        self._type = int if spec.type.startswith("int") else float
        self.count = math.ceil((self._high - self._low) / self._step)

    def value(self, position: int) -> int | float:
        """Return the number at a position, counted from 0."""
        return self._type(self._high if position >= self.count else self._low + position * self._step)

    def nearest(self, value: float) -> int:
        """Return the position that is nearest to a number in the range."""
        exact = Decimal(repr(value))
        return self.count if exact >= self._high else min(self.count, round((exact - self._low) / self._step))

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self._low <= Decimal(repr(value)) <= self._high


class RangeField(Field):
    """A number box that is exact, and a slider that follows it and moves it in whole steps.

    The slider holds positions, not numbers: a browser moves numbers that lie between its steps, and tells so.
    """

    def __init__(self, number: TypedField, steps: Steps) -> None:
        super().__init__()
        self._number, self._steps = number, steps
        layout = {"flex": "1 1 auto", "width": "auto", "min_width": "80px", "margin": "2px 8px"}
        self._slider = widgets.IntSlider(min=0, max=steps.count, readout=False, layout=layout)
        number.widget.layout.width = "110px"
        number.widget.layout.flex = "0 0 auto"
        self.widget = widgets.HBox(
            [self._slider, number.widget], layout={"width": "100%", "align_items": "center"}
        )
        number.on_change(self._typed)
        self._slider.observe(self._moved, "value")

    def read(self) -> Any:
        """Return the number in the box."""
        return self._number.read()

    def _typed(self) -> None:
        try:
            value = self._number.read()
        except ValueError:
            value = None
        if value is not None and value in self._steps:
            with self._writing():
                self._slider.value = self._steps.nearest(value)
        self._changed()

    def _moved(self, change: Any) -> None:
        if self._is_writing:
            return
        with self._writing():
            self._number.write(self._steps.value(change["new"]))
        self._changed()

    def _show(self, value: Any) -> None:
        self._number.write(value)

    def _show_nothing(self) -> None:
        self._number.clear()

    def set_enabled(self, enabled: bool) -> None:
        """Let the user move and type, or not."""
        self._number.set_enabled(enabled)
        self._slider.disabled = not enabled


class TupleField(Field):
    """n number boxes in a row."""

    def __init__(self, boxes: Sequence[TypedField]) -> None:
        super().__init__()
        self._boxes = list(boxes)
        for box in self._boxes:
            box.widget.layout.width = "60px"
            box.widget.layout.flex = "1 1 60px"
            box.on_change(self._changed)
        self.widget = widgets.HBox(
            [b.widget for b in self._boxes], layout={"width": "100%", "flex_flow": "row wrap"}
        )

    def read(self) -> tuple[Any, ...]:
        """Return the numbers."""
        values = []
        for position, box in enumerate(self._boxes, 1):
            try:
                values.append(box.read())
            except NoValueError:
                if all(not b.widget.value for b in self._boxes):
                    raise
                raise ValueError(f"number {position} of {len(self._boxes)}: needs a value") from None
            except ValueError as error:
                raise ValueError(f"number {position} of {len(self._boxes)}: {error}") from None
        return tuple(values)

    def _show(self, value: Any) -> None:
        items = list(value) if isinstance(value, Iterable) else [value]
        for position, box in enumerate(self._boxes):
            if position < len(items):
                box.write(items[position])
            else:
                box.clear()

    def _show_nothing(self) -> None:
        for box in self._boxes:
            box.clear()

    def set_enabled(self, enabled: bool) -> None:
        """Let the user type, or not."""
        for box in self._boxes:
            box.set_enabled(enabled)


class OptionalField(Field):
    """A field behind a check box: not ticked means None, and what the field shows waits."""

    def __init__(self, inner: Field) -> None:
        super().__init__()
        self._inner = inner
        self._enabled = True
        self._tick = widgets.Checkbox(indent=False, layout={"width": "22px", "flex": "0 0 auto"})
        self._tick.tooltip = "Set a value. Without the tick the value is None."
        inner.widget.layout.flex = "1 1 auto"
        inner.widget.layout.width = "auto"
        self.widget = widgets.HBox(
            [self._tick, inner.widget], layout={"width": "100%", "align_items": "flex-start"}
        )
        self._tick.observe(self._ticked, "value")
        inner.on_change(self._changed)
        inner.set_enabled(False)
        if inner.widget.has_trait("placeholder"):
            inner.widget.placeholder = "None"

    def _ticked(self, change: Any) -> None:
        self._inner.set_enabled(self._enabled and self._tick.value)
        self._changed()

    def read(self) -> Any:
        """Return None, or the value of the field."""
        if not self._tick.value:
            return None
        try:
            return self._inner.read()
        except NoValueError:
            raise ValueError("needs a value, or take the tick away for None") from None

    def _show(self, value: Any) -> None:
        self._tick.value = value is not None
        if value is not None:
            self._inner.write(value)

    def _show_nothing(self) -> None:
        self._tick.value = False

    def set_enabled(self, enabled: bool) -> None:
        """Let the user edit, or not."""
        self._enabled = enabled
        self._tick.disabled = not enabled
        self._inner.set_enabled(enabled and self._tick.value)


def _same(option: Any, value: Any) -> bool:
    if isinstance(option, tuple) and isinstance(value, (tuple, list)):
        return len(option) == len(value) and all(map(_same, option, value))
    if isinstance(option, bool) or isinstance(value, bool) or option is None:
        return option is value
    return bool(option == value) or (option != option and value != value)
