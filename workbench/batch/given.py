"""What was given for points, before it is checked, and how much of it is too much."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.algorithms.literals import literal
from workbench.algorithms.parameters import Parameters
from workbench.errors import InvalidInputError

#: A sweep is one file and a run for each point; beyond this a mistyped range is likelier than a wish.
MOST_POINTS = 20_000

Values = dict[str, Any]
Axes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Given:
    """What was given for one point, and where it comes from, for messages."""

    values: Values
    where: str = ""


def axis_values(name: str, values: Any) -> list[Any]:
    """Return the values of an axis; what is no sequence is one value."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        return [values]
    # an endless generator must not be read to its end
    found = list(itertools.islice(values, MOST_POINTS + 1))
    refuse_too_many(len(found))
    if not found:
        raise InvalidInputError(f"Parameter {name!r} has an empty list of values. Give at least one.")
    return found


def parsed(parameters: Parameters, name: str, text: str) -> Any:
    """Return the value that a text names for a parameter; for an unknown one the text, which is refused later."""
    return literal(parameters[name], text) if name in parameters else text


def refuse_too_many(count: int) -> None:
    """Refuse a number of points that nobody can have meant.

    Raises
    ------
    InvalidInputError
        With what to do instead.
    """
    if count > MOST_POINTS:
        raise InvalidInputError(
            f"The sweep has {count:,} points or more; at most {MOST_POINTS:,} go into one. "
            "Take fewer values, or sample=... with samples=1000."
        )
