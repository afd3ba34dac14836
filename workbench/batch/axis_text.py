"""Values of a parameter as they are typed on a line."""

from __future__ import annotations

from typing import Any

from workbench.algorithms.kinds import KINDS
from workbench.algorithms.parameters import Parameters
from workbench.batch.given import parsed, refuse_too_many
from workbench.errors import InvalidInputError


def read_axis(parameters: Parameters, name: str, text: str) -> list[Any]:
    """Return the values that a text names for a parameter: ``1,2,3``, ``a,b``, ``1:5:0.5``, or both mixed.

    A range ends with its stop: ``1:3`` is 1, 2, 3. Values of list parameters stand in brackets or between semicolons:
    ``[1,2],[3]`` or ``1,2;3``. Quotes keep a comma in a text.

    >>> from workbench.models import ParameterSpec
    >>> read_axis(Parameters([ParameterSpec(name="sigma", type="float")]), "sigma", "1:2:0.5,8")
    [1, 1.5, 2, 8]

    Raises
    ------
    InvalidInputError
        If a range has no step towards its end, or far too many values.
    """
    if name not in parameters:
        return [text]  # refused with its nearest name, as any unknown parameter
    kind = KINDS[parameters[name].type]
    separator = ";" if kind.is_sequence and not text.strip().startswith(("[", "(")) else ","
    values: list[Any] = []
    for part in _split(text, separator):
        if kind.is_number and not kind.is_sequence and ":" in part:
            values += _range(name, part)
        else:
            values.append(parsed(parameters, name, part))
        refuse_too_many(len(values))
    return values


def is_draw(parameters: Parameters, name: str, text: str) -> bool:
    """Tell whether a text names an interval to draw from, and not values: ``0.5:4``, ``log:0.001:1``."""
    if name not in parameters or not KINDS[parameters[name].type].is_number or "," in text:
        return False
    return text.partition(":")[0] in {"log", "normal", "uniform"} or text.count(":") == 1


def _split(text: str, separator: str) -> list[str]:
    """Split at separators that stand in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "[(") - (character in "])")
        if character == separator and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()] or [""]


def _range(name: str, text: str) -> list[int | float]:
    from decimal import Decimal, InvalidOperation

    try:
        # as decimals: 0.1:0.3:0.1 has three values
        start, stop, step = (Decimal(number) for number in (*text.split(":"), "1")[:3])
        if text.count(":") > 2 or not all(number.is_finite() for number in (start, stop, step)):
            raise ValueError(text)
    except (InvalidOperation, ValueError):
        raise InvalidInputError(
            f"Parameter {name!r} has the range {text!r}, expected start:stop:step, such as {name}=1:5:0.5."
        ) from None
    if step == 0 or (stop - start) * step < 0:
        raise InvalidInputError(
            f"Parameter {name!r} has the range {text!r}, whose step does not lead from {start} to {stop}."
        )
    count = int((stop - start) / step) + 1
    refuse_too_many(count)
    values = [start + step * number for number in range(count)]
    return [int(value) if value == value.to_integral_value() else float(value) for value in values]
