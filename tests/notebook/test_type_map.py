"""Every kind of parameter: what is shown is what comes back."""

from __future__ import annotations

import math

import pytest

from workbench.models import ParameterSpec
from workbench.notebook.fields import RangeField, TypedField
from workbench.notebook.type_map import FIELDS, field_for
from workbench.notebook.typed_text import NoValueError, option_label, parse_lines, show_lines

TEXTS = [
    "",
    "plain",
    'it\'s "quoted"',
    "two\nlines\n",
    "\ttab ",
    "µm → 日本 🧪",
    "a, b; c",
    "\\n",
    '"',
    "None",
    "  ",
]
INTS = [0, -1, 2**53 + 1, -(2**80) - 1]
FLOATS = [0.1 + 0.2, 1e-300, 5e-324, 1.7976931348623157e308, -0.0, math.pi, 1e22, float("inf"), 3.0]


def spec(type_: str, default: object = None, **fields: object) -> ParameterSpec:
    return ParameterSpec(name="p", type=type_, default=default, **fields)


ROUND_TRIPS = [
    *(spec("string", text) for text in TEXTS),
    *(spec("int", number) for number in INTS),
    *(spec("float", number) for number in FLOATS),
    spec("bool", True),
    spec("bool", False),
    spec("int_range", 7, min=0, max=10, step=3),
    spec("int_range", 2**60 + 1, min=0, max=2**61, step=1),
    spec("int_range", -3, min=-10, max=-1, step=-2),
    spec("float_range", 0.123456789012345678, min=0.0, max=1.0, step=0.05),
    spec("float_range", -2.5, min=-5.0, max=0.0, step=-0.5),
    spec("string_enum", "b", options=("a", "b")),
    spec("string_enum", "", options=("", "a\nb")),
    spec("int_enum", 2**60 + 1, options=(2**60, 2**60 + 1)),
    spec("float_enum", 0.1, options=(0.2, 0.1)),
    spec("string_list", TEXTS),
    spec("string_list", []),
    spec("string_list", [""]),
    spec("int_list", INTS),
    spec("int_list", []),
    spec("float_list", FLOATS),
    spec("bool_list", [True, False, True]),
    spec("int_tuple", (1, 2**60 + 1, -3), length=3),
    spec("float_tuple", (0.1 + 0.2, -0.0), length=2),
    spec("string", "x", options=("x", "y")),
    *(spec("any", value) for value in (*TEXTS, *INTS, *FLOATS, [1, "a", None], {"a": [1.5, {}]}, True)),
    spec("dict", {"a": 1, "b": [True, None, "x"]}),
    spec("dict", {}),
]
OPTIONAL = [
    spec(s.type, None, options=s.options, min=s.min, max=s.max, step=s.step, length=s.length, optional=True)
    for s in {s.type: s for s in ROUND_TRIPS}.values()
]


def same(a: object, b: object) -> bool:
    """Equal and of the same type, down to the sign of zero."""
    return type(a) is type(b) and repr(a) == repr(b)


@pytest.mark.parametrize("declared", ROUND_TRIPS, ids=lambda s: f"{s.type}-{str(s.default)[:20]!r}")
def test_default_shown_is_the_value_read(declared: ParameterSpec) -> None:
    field = field_for(declared)
    assert same(field.read(), declared.default)


@pytest.mark.parametrize("declared", ROUND_TRIPS, ids=lambda s: f"{s.type}-{str(s.default)[:20]!r}")
def test_none_of_an_optional_parameter_stays_none_and_a_value_comes_back(declared: ParameterSpec) -> None:
    field = field_for(declared.model_copy(update={"optional": True}))
    assert same(field.read(), declared.default)
    field.write(None)
    assert field.read() is None
    field.write(declared.default)
    assert same(field.read(), declared.default)


@pytest.mark.parametrize("declared", OPTIONAL, ids=lambda s: s.type)
def test_optional_without_a_default_is_none(declared: ParameterSpec) -> None:
    assert field_for(declared).read() is None


def test_every_kind_has_a_round_trip() -> None:
    assert {s.type for s in ROUND_TRIPS} == set(FIELDS)


def test_the_table_has_the_kinds_that_algorithms_declare() -> None:
    from workbench.algorithms.kinds import KINDS

    assert set(FIELDS) == set(KINDS)


@pytest.mark.parametrize("type_", sorted(set(FIELDS) - {"bool"}))
def test_required_parameter_without_default_says_it_needs_a_value(type_: str) -> None:
    field = field_for(spec(type_, options=(1, 2), length=2, min=0, max=5, step=1))
    with pytest.raises(ValueError, match="needs a value"):
        field.read()


def test_bool_without_default_is_not_silently_false() -> None:
    field = field_for(spec("bool"))
    with pytest.raises(ValueError, match="needs a value"):
        field.read()
    field.widget.index = 1
    assert field.read() is False


@pytest.mark.parametrize(
    ("declared", "typed", "message"),
    [
        (spec("int", 1), "1.5", "'1.5' is not a whole number"),
        (spec("int", 1), " ", "needs a value"),
        (spec("float", 1.0), "1,5", "write a point"),
        (spec("float", 1.0), "abc", "'abc' is not a number"),
        (spec("int_list", [1]), "1, x", "item 2: 'x' is not a whole number"),
        (spec("bool_list", [True]), "true 1", "item 2: '1' is neither"),
        (spec("string_list", ["a"]), 'a\n"b', "item 2: .* is not quoted text"),
    ],
)
def test_what_is_typed_wrong_is_named(declared: ParameterSpec, typed: str, message: str) -> None:
    field = field_for(declared)
    field.widget.value = typed
    with pytest.raises(ValueError, match=message):
        field.read()


@pytest.mark.parametrize(
    ("declared", "typed", "value"),
    [
        (spec("int", 1), " 9007199254740993 ", 9007199254740993),
        (spec("float", 1.0), "1e-3", 0.001),
        (spec("float", 1.0), "2", 2.0),
        (spec("int_list", []), "[1, 2\n3]", [1, 2, 3]),
        (spec("float_list", []), "0.5;1", [0.5, 1.0]),
        (spec("bool_list", []), "True, false", [True, False]),
        (spec("string_list", []), 'a, b\n\n  "c\\n"', ["a, b", "c\n"]),
    ],
)
def test_what_is_typed_is_read(declared: ParameterSpec, typed: str, value: object) -> None:
    field = field_for(declared)
    field.widget.value = typed
    assert same(field.read(), value)


def test_wrong_number_of_a_tuple_is_counted() -> None:
    field = field_for(spec("int_tuple", (1, 2), length=2))
    field.widget.children[1].value = "x"
    with pytest.raises(ValueError, match="number 2 of 2: 'x' is not a whole number"):
        field.read()


def test_slider_moves_the_box_in_clean_steps_and_the_box_moves_the_slider() -> None:
    field = field_for(spec("float_range", 0.0, min=0.0, max=1.0, step=0.1))
    assert isinstance(field, RangeField)
    slider, box = field.widget.children
    seen: list[object] = []
    field.on_change(lambda: seen.append(field.read()))
    slider.value = 3
    assert box.value == "0.3"
    box.value = "0.523456789"
    assert slider.value == 5
    assert seen == [0.3, 0.523456789]


def test_slider_reaches_both_ends_whatever_the_step() -> None:
    for declared in (
        spec("float_range", 0.0, min=-0.1, max=1.0, step=0.3),
        spec("int_range", 0, min=-3, max=10, step=4),
    ):
        field = field_for(declared)
        slider = field.widget.children[0]
        slider.value = slider.max
        assert field.read() == declared.max
        slider.value = 0
        assert field.read() == declared.min


def test_range_of_too_many_steps_has_only_the_box() -> None:
    assert isinstance(field_for(spec("int_range", 5, min=0, max=2**60, step=1)), TypedField)


def test_value_outside_the_range_is_kept_and_the_slider_stays() -> None:
    field = field_for(spec("int_range", 5, min=0, max=10, step=1))
    field.write(99)
    assert field.read() == 99
    assert field.widget.children[0].value == 5


def test_value_that_is_no_option_is_kept_until_one_is_chosen() -> None:
    field = field_for(spec("string_enum", "a", options=("a", "b")))
    field.write("gone")
    assert field.read() == "gone"
    assert field.widget.index is None
    field.widget.index = 1
    assert field.read() == "b"


def test_unticking_an_optional_field_keeps_what_was_typed_for_later() -> None:
    field = field_for(spec("float", 2.5, optional=True))
    tick, box = field.widget.children
    tick.value = False
    assert field.read() is None
    assert box.disabled
    tick.value = True
    assert field.read() == 2.5
    assert not box.disabled


def test_ticked_optional_field_without_a_value_says_so() -> None:
    field = field_for(spec("float", optional=True))
    field.widget.children[0].value = True
    with pytest.raises(ValueError, match="take the tick away") as caught:
        field.read()
    assert not isinstance(caught.value, NoValueError)


def test_writing_tells_the_listener_once() -> None:
    for declared in ROUND_TRIPS:
        field = field_for(declared)
        calls: list[int] = []
        field.on_change(lambda calls=calls: calls.append(1))
        field.write(declared.default)
        assert calls == [1], declared


def test_lines_of_text_are_read_as_they_were_shown() -> None:
    assert parse_lines(show_lines(TEXTS)) == TEXTS
    assert show_lines(["a", " b"]) == 'a\n" b"'


def test_options_are_listed_so_that_each_can_be_seen() -> None:
    assert [option_label(o) for o in ("a", "", " x", None, True, 0.5, (1, 2))] == [
        "a", "''", "' x'", "none", "true", "0.5", "1, 2",
    ]  # fmt: skip
