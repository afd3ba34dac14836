"""Parameter kind → widgets: one table. A field shows a value and gives back the same value, bit for bit.

The typed text is the truth of every number: the number boxes of browsers hold doubles, so 2**53 + 1 would come back
as another number, and an empty box as 0.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import ipywidgets as widgets

from workbench.models import ParameterSpec

NEEDS_VALUE = "needs a value"
_SAFE_INT = 2**53  # a slider is a double in the browser


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
            raise ValueError(NEEDS_VALUE)
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
            raise ValueError(NEEDS_VALUE)
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


class RangeField(Field):
    """A number box that is exact, and a slider that follows it and moves it in whole steps."""

    def __init__(self, spec: ParameterSpec, number: TypedField, slider: Any) -> None:
        super().__init__()
        self._spec, self._number, self._slider = spec, number, slider
        number.widget.layout.width = "96px"
        slider.layout = widgets.Layout(flex="1 1 auto", width="auto", min_width="80px", margin="2px 8px")
        self.widget = widgets.HBox([slider, number.widget], layout={"width": "100%", "align_items": "center"})
        number.on_change(self._typed)
        slider.observe(self._moved, "value")

    def read(self) -> Any:
        """Return the number in the box."""
        return self._number.read()

    def _typed(self) -> None:
        try:
            value = self._number.read()
        except ValueError:
            value = None
        if value is not None and self._spec.min <= value <= self._spec.max:
            with self._writing():
                self._slider.value = value
        self._changed()

    def _moved(self, change: Any) -> None:
        if self._is_writing:
            return
        with self._writing():
            self._number.write(_on_step(self._spec, change["new"]))
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
            box.widget.layout.width = "auto"
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
        self._tick = widgets.Checkbox(
            indent=False, tooltip="Set a value. Without the tick the value is None."
        )
        self._tick.layout = widgets.Layout(width="22px", flex="0 0 auto")
        inner.widget.layout.flex = "1 1 auto"
        inner.widget.layout.width = "auto"
        self.widget = widgets.HBox(
            [self._tick, inner.widget], layout={"width": "100%", "align_items": "flex-start"}
        )
        self._tick.observe(self._ticked, "value")
        inner.on_change(self._changed)
        inner.set_enabled(False)

    def _ticked(self, change: Any) -> None:
        self._inner.set_enabled(self._enabled and self._tick.value)
        self._changed()

    def read(self) -> Any:
        """Return None, or the value of the field."""
        return self._inner.read() if self._tick.value else None

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


# -- text ↔ value


def parse_int(text: str) -> int:
    """Return the whole number of any size that was typed."""
    text = text.strip()
    if not text:
        raise ValueError(NEEDS_VALUE)
    if not re.fullmatch(r"[+-]?[0-9]+(_[0-9]+)*", text):
        raise ValueError(f"{_cut(text)} is not a whole number")
    return int(text)


def parse_float(text: str) -> float:
    """Return the number that was typed; inf and nan are numbers too."""
    text = text.strip()
    if not text:
        raise ValueError(NEEDS_VALUE)
    try:
        return float(text)
    except ValueError:
        hint = "; write a point, not a comma" if re.fullmatch(r"[+-]?\d*,\d+", text) else ""
        raise ValueError(f"{_cut(text)} is not a number{hint}") from None


def parse_bool(text: str) -> bool:
    """Return what was typed as true or false."""
    word = text.strip().casefold()
    if word not in {"true", "false"}:
        raise ValueError(f"{_cut(text)} is neither true nor false")
    return word == "true"


def show_number(value: Any) -> str:
    """Return the shortest text that is read back as exactly this number."""
    return repr(value.item() if hasattr(value, "item") else value)


def parse_items(text: str, parse: Callable[[str], Any]) -> list[Any]:
    """Return the items of a list of numbers or truth values: between commas, spaces or on lines of their own."""
    out = []
    for position, word in enumerate(
        re.findall(r"[^,;\s]+", text.strip().removeprefix("[").removesuffix("]")), 1
    ):
        try:
            out.append(parse(word))
        except ValueError as error:
            raise ValueError(f"item {position}: {error}") from None
    return out


def parse_lines(text: str) -> list[str]:
    """Return the texts of a list, one per line; a line that begins with ``"`` is a JSON string."""
    out = []
    lines = [line.strip() for line in text.split("\n")]
    for position, line in enumerate((line for line in lines if line), 1):
        if not line.startswith('"'):
            out.append(line)
            continue
        try:
            item = json.loads(line, strict=False)
        except json.JSONDecodeError:
            item = None
        if not isinstance(item, str):
            raise ValueError(
                f'item {position}: {_cut(line)} begins with " but is not quoted text, such as "a \\"b\\""'
            )
        out.append(item)
    return out


def show_lines(items: Iterable[str]) -> str:
    """Return texts one per line, as `parse_lines` reads them: quoted where the plain text would be read otherwise."""
    return "\n".join(
        item if item and item == item.strip() and item.isprintable() and item[0] != '"' else json.dumps(item)
        for item in map(str, items)
    )


def option_label(option: Any) -> str:
    """Return how an option is listed: text as it is where that is visible, else its repr."""
    if isinstance(option, str):
        return option if option.isprintable() and option.strip() == option and option else repr(option)
    if option is None or isinstance(option, bool):
        return str(option).lower()
    return ", ".join(map(show_number, option)) if isinstance(option, (tuple, list)) else show_number(option)


def _cut(text: str) -> str:
    return repr(text if len(text) <= 24 else text[:23] + "…")


def _same(option: Any, value: Any) -> bool:
    if isinstance(option, tuple) and isinstance(value, (tuple, list)):
        return len(option) == len(value) and all(map(_same, option, value))
    if isinstance(option, bool) or isinstance(value, bool) or option is None:
        return option is value
    return bool(option == value) or (option != option and value != value)


def _on_step(spec: ParameterSpec, value: float) -> int | float:
    """Return the slider's position without the noise of binary steps: 0.3, not 0.30000000000000004."""
    if spec.type.startswith("int"):
        return int(value)
    low, high = Decimal(repr(spec.min)), Decimal(repr(spec.max))
    step = abs(Decimal(repr(spec.step or (high - low) / 100)))
    near = low + step * round((Decimal(repr(value)) - low) / step)
    return float(near if abs(float(near) - value) < float(step) * 1e-6 else Decimal(repr(value)))


# -- the table


def _line(**options: Any) -> Any:
    return widgets.Text(layout={"width": "100%"}, **options)


def _area(**options: Any) -> Any:
    # a Text drops line breaks in the browser; an area of one row looks the same and keeps them
    area = widgets.Textarea(rows=1, layout={"width": "100%"}, **options)
    area.add_class("wb-area")
    return area


def _string(spec: ParameterSpec) -> Field:
    return TypedField(str, str, _area())


def _int(spec: ParameterSpec) -> TypedField:
    return TypedField(parse_int, show_number, _line())


def _float(spec: ParameterSpec) -> TypedField:
    return TypedField(parse_float, show_number, _line())


def _bool(spec: ParameterSpec) -> Field:
    # a box that is not ticked would already be an answer
    return SwitchField() if spec.default is not None and not spec.optional else _choice(spec, (True, False))


def _int_range(spec: ParameterSpec) -> Field:
    low, high, step = spec.min, spec.max, spec.step
    if low is None or high is None or max(abs(low), abs(high)) >= _SAFE_INT:
        return _int(spec)
    slider = widgets.IntSlider(value=low, min=low, max=high, step=abs(step or 1), readout=False)
    return RangeField(spec, _int(spec), slider)


def _float_range(spec: ParameterSpec) -> Field:
    low, high, step = spec.min, spec.max, spec.step
    if low is None or high is None:
        return _float(spec)
    slider = widgets.FloatSlider(
        value=low, min=low, max=high, step=abs(step or (high - low) / 100), readout=False
    )
    return RangeField(spec, _float(spec), slider)


def _choice(spec: ParameterSpec, options: Sequence[Any] | None = None) -> Field:
    options = spec.options if options is None else options
    return ChoiceField([None, *options] if spec.optional else options)


def _string_list(spec: ParameterSpec) -> Field:
    return TypedField(parse_lines, show_lines, _area(placeholder="one per line"))


def _items(parse: Callable[[str], Any], placeholder: str) -> Callable[[ParameterSpec], Field]:
    def make(spec: ParameterSpec) -> Field:
        def show(items: Any) -> str:
            return ", ".join(option_label(item) for item in items)

        return TypedField(lambda text: parse_items(text, parse), show, _area(placeholder=placeholder))

    return make


def _tuple(number: Callable[[ParameterSpec], TypedField]) -> Callable[[ParameterSpec], Field]:
    return lambda spec: TupleField([number(spec) for _ in range(spec.length or 1)])


#: kind → what makes its field
FIELDS: dict[str, Callable[[ParameterSpec], Field]] = {
    "string": _string,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "int_range": _int_range,
    "float_range": _float_range,
    "string_enum": _choice,
    "int_enum": _choice,
    "float_enum": _choice,
    "string_list": _string_list,
    "int_list": _items(parse_int, "1, 2, 3"),
    "float_list": _items(parse_float, "0.5, 1.0"),
    "bool_list": _items(parse_bool, "true, false"),
    "int_tuple": _tuple(_int),
    "float_tuple": _tuple(_float),
}


def field_for(spec: ParameterSpec) -> Field:
    """Return the field of a parameter, showing its default; with no default it says that it needs a value.

    >>> field_for(ParameterSpec(name="seed", type="int", default=2**64 + 1)).read() == 2**64 + 1
    True
    """
    make = FIELDS[spec.type]
    if spec.options and make in (_string, _int, _float):
        make = _choice
    field = make(spec)
    if spec.optional and not isinstance(field, ChoiceField):
        field = OptionalField(field)
    if spec.default is not None or spec.optional:
        field.write(spec.default)
    return field
