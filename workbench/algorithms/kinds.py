"""The kinds of parameters, and the one rule that says whether a value fits a declared parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from workbench.errors import nearest
from workbench.models import ParameterSpec

_WORDS = {str: ("text", "texts"), int: ("a whole number", "whole numbers"), float: ("a number", "numbers")}
_WORDS[bool] = ("true or false", "true/false values")
_WORDS[dict] = ("a mapping of names to plain values", "mappings")
_WORDS[object] = ("a plain value (None, true/false, number, text, list or mapping)", "plain values")
_EXAMPLES: dict[type, Any] = {str: "text", int: 1, float: 1.0, bool: True, dict: {"key": 1}, object: 1}


@dataclass(frozen=True)
class Kind:
    """A kind of parameter: of what Python type its items are, and how they are arranged."""

    name: str
    item: type
    form: Literal["one", "range", "enum", "list", "tuple"]

    @property
    def is_sequence(self) -> bool:
        """Tell whether a value holds several items."""
        return self.form in {"list", "tuple"}

    @property
    def is_number(self) -> bool:
        """Tell whether its items are numbers, which may be bounded."""
        return self.item in {int, float}


def _kinds() -> dict[str, Kind]:
    names = {str: "string", int: "int", float: "float", bool: "bool", dict: "dict", object: "any"}
    members: list[tuple[Literal["one", "range", "enum", "list", "tuple"], tuple[type, ...]]] = [
        ("one", (str, int, float, bool, dict, object)),
        ("range", (int, float)),
        ("enum", (str, int, float)),
        ("list", (str, int, float, bool)),
        ("tuple", (int, float)),
    ]
    kinds = [
        Kind(names[item] if form == "one" else f"{names[item]}_{form}", item, form)
        for form, items in members
        for item in items
    ]
    return {kind.name: kind for kind in kinds}


#: name -> Kind; the 13 kinds of Compox, the tuples, and ``dict`` and ``any`` for what notebooks take
KINDS = _kinds()


class MisfitError(Exception):
    """A value does not fit; ``expected`` completes "expected ...", ``fix`` says what to pass instead."""

    def __init__(self, expected: str, fix: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.fix = fix


def plain(value: Any) -> Any:
    """Return numpy scalars, 0-d and 1-d arrays (and tensors) as Python values; anything else as it is."""
    dimensions = getattr(value, "ndim", None)
    if dimensions == 0 and hasattr(value, "item"):
        return value.item()
    if dimensions == 1 and hasattr(value, "tolist"):
        return value.tolist()
    return value


def fit_item(item: type, value: Any) -> Any:
    """Return the value as exactly the type ``item``; bool is no number, text is no number, an int is a float.

    Raises
    ------
    TypeError
        If the type does not fit.
    """
    value = plain(value)
    if item is object or item is dict:
        return _plain_tree(item, value)
    if item is bool:
        if isinstance(value, bool):
            return value
    elif isinstance(value, bool):
        pass
    elif item is float and isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            pass
    elif item is not float and isinstance(value, item):
        return item(value)
    raise TypeError(_WORDS[item][0])


def _plain_tree(item: type, value: Any) -> Any:
    """Return a value that JSON can hold, as new lists and dicts."""
    value = plain(value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {str(key): _plain_tree(object, inner) for key, inner in value.items()}
    if item is object:
        if isinstance(value, (list, tuple)):
            return [_plain_tree(object, inner) for inner in value]
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
    raise TypeError(_WORDS[item][0])


def fit(spec: ParameterSpec, value: Any) -> Any:
    """Return the value in the exact Python type of its kind: lists as new lists, tuples as tuples.

    Raises
    ------
    MisfitError
        If it has the wrong type or length, is out of range, not finite where a range is declared, or no option.
    """
    if value is None and spec.optional:
        return None
    kind = KINDS[spec.type]
    if not kind.is_sequence:
        return _fit_one(spec, kind, value)
    items = _fit_sequence(spec, kind, value)
    whole = bool(spec.options) and isinstance(spec.options[0], (list, tuple))
    if whole and items not in [list(option) for option in spec.options]:
        raise MisfitError(f"one of {_listed(spec.options)}", f"Pass {spec.name}={list(spec.options[0])!r}")
    return tuple(items) if kind.form == "tuple" else items


def _fit_one(spec: ParameterSpec, kind: Kind, value: Any) -> Any:
    try:
        value = fit_item(kind.item, value)
    except TypeError as error:
        what = str(error) + (" or None" if spec.optional else "")
        raise MisfitError(what, f"Pass {spec.name}={example(spec)!r}") from None
    _check_bounds(spec, value)
    if spec.options and value not in spec.options:
        near = nearest(value, spec.options, n=1) if kind.item is str else []
        raise MisfitError(
            f"one of {_listed(spec.options)}", f"Pass {spec.name}={(near or spec.options)[0]!r}"
        )
    return value


def _fit_sequence(spec: ParameterSpec, kind: Kind, value: Any) -> list[Any]:
    value = plain(value)
    several = _WORDS[kind.item][1]
    what = f"{spec.length} {several}" if kind.form == "tuple" else f"a list of {several}"
    what += " or None" if spec.optional else ""
    fix = f"Pass {spec.name}={example(spec)!r}"
    if not isinstance(value, (list, tuple)):
        raise MisfitError(what, fix)
    if kind.form == "tuple" and len(value) != spec.length:
        raise MisfitError(f"{what}, not {len(value)}", fix)
    items = []
    for number, given in enumerate(value, 1):
        try:
            item = fit_item(kind.item, given)
            _check_bounds(spec, item)
        except TypeError:
            raise MisfitError(f"{what}; item {number} is {shown(given)}", fix) from None
        except MisfitError as error:
            raise MisfitError(
                f"items that are {error.expected}; item {number} is {shown(given)}", fix
            ) from None
        if spec.options and not isinstance(spec.options[0], (list, tuple)) and item not in spec.options:
            raise MisfitError(f"items out of {_listed(spec.options)}; item {number} is {shown(given)}", fix)
        items.append(item)
    return items


def _check_bounds(spec: ParameterSpec, value: Any) -> None:
    low, high, name = spec.min, spec.max, spec.name
    if low is None and high is None and spec.multiple_of is None:
        return
    if not math.isfinite(value):
        raise MisfitError("a finite number", f"Pass {name}={example(spec)!r}")
    if low is not None and (value < low or (value == low and spec.min_excluded)):
        fix = f"Pass {name} larger than {low!r}" if spec.min_excluded else f"Pass {name}={low!r} or larger"
        raise MisfitError(bounds(spec), fix)
    if high is not None and (value > high or (value == high and spec.max_excluded)):
        fix = (
            f"Pass {name} smaller than {high!r}" if spec.max_excluded else f"Pass {name}={high!r} or smaller"
        )
        raise MisfitError(bounds(spec), fix)
    if spec.multiple_of is not None:
        steps = value / spec.multiple_of
        if not math.isclose(steps, round(steps), rel_tol=1e-9, abs_tol=1e-9):
            near = type(value)(round(steps) * spec.multiple_of)
            raise MisfitError(f"a multiple of {spec.multiple_of!r}", f"Pass {name}={near!r}")


def bounds(spec: ParameterSpec) -> str:
    """Return the declared range in words, such as ``at least 0.0`` or ``0 to 10``; empty if there is none.

    >>> bounds(ParameterSpec(name="sigma", type="float", min=0.0))
    'at least 0.0'
    """
    low, high = spec.min, spec.max
    if low is None and high is None:
        return ""
    above = None if low is None else f"greater than {low!r}" if spec.min_excluded else f"at least {low!r}"
    below = None if high is None else f"less than {high!r}" if spec.max_excluded else f"at most {high!r}"
    if above and below and not (spec.min_excluded or spec.max_excluded):
        return f"{low!r} to {high!r}"
    return " and ".join(text for text in (above, below) if text)


def example(spec: ParameterSpec) -> Any:
    """Return a value that fits, for messages and prefilled cells: the default where there is one."""
    kind = KINDS[spec.type]
    if spec.default is not None:
        return tuple(spec.default) if kind.form == "tuple" else spec.default
    if spec.options:
        first = spec.options[0]
        return list(first) if isinstance(first, (list, tuple)) else [first] if kind.is_sequence else first
    bound = spec.max if spec.min is None else spec.min
    item = _EXAMPLES[kind.item] if bound is None else bound
    if kind.form == "tuple":
        return (item,) * (spec.length or 1)
    return [item] if kind.form == "list" else item


def shown(value: Any, unit: str = "") -> str:
    """Return a value as messages show it: its repr, shortened, with the unit behind a number."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    text = text if len(text) <= 60 else text[:59] + "…"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{text} {unit}" if unit and is_number else text


def _listed(options: tuple[Any, ...]) -> str:
    texts = [shown(list(o) if isinstance(o, tuple) else o) for o in options[:12]]
    return ", ".join(texts) + (", …" if len(options) > 12 else "")
