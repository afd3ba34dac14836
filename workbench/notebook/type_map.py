"""Parameter kind → field: one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from workbench.models import ParameterSpec
from workbench.notebook.fields import (
    ChoiceField,
    Field,
    OptionalField,
    RangeField,
    Steps,
    SwitchField,
    TupleField,
    TypedField,
)
from workbench.notebook.typed_text import (
    option_label,
    parse_bool,
    parse_float,
    parse_int,
    parse_items,
    parse_lines,
    parse_plain,
    show_lines,
    show_number,
    show_plain,
)

MAX_STEPS = 1_000_000


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


def _range(number: Callable[[ParameterSpec], TypedField]) -> Callable[[ParameterSpec], Field]:
    def make(spec: ParameterSpec) -> Field:
        if spec.min is None or spec.max is None:
            return number(spec)
        steps = Steps(spec)
        # no mouse can choose among more
        return RangeField(number(spec), steps) if steps.count <= MAX_STEPS else number(spec)

    return make


def _choice(spec: ParameterSpec, options: Sequence[Any] | None = None) -> Field:
    options = spec.options if options is None else options
    return ChoiceField([None, *options] if spec.optional else options)


def _plain(spec: ParameterSpec) -> Field:
    return TypedField(parse_plain, show_plain, _area(placeholder="number, text, [list] or {mapping}"))


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
    "int_range": _range(_int),
    "float_range": _range(_float),
    "string_enum": _choice,
    "int_enum": _choice,
    "float_enum": _choice,
    "string_list": _string_list,
    "int_list": _items(parse_int, "1, 2, 3"),
    "float_list": _items(parse_float, "0.5, 1.0"),
    "bool_list": _items(parse_bool, "true, false"),
    "int_tuple": _tuple(_int),
    "float_tuple": _tuple(_float),
    "dict": _plain,
    "any": _plain,
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
    if spec.optional and not isinstance(field, ChoiceField) and spec.type != "any":  # there None can be typed
        field = OptionalField(field)
    if spec.default is not None or spec.optional:
        field.write(spec.default)
    return field
