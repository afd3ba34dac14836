"""Points that are drawn at random, the same for the same seed."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from workbench.algorithms.kinds import KINDS
from workbench.algorithms.parameters import Parameters
from workbench.batch.given import Axes, Given, axis_values, refuse_too_many
from workbench.errors import InvalidInputError

_DISTRIBUTIONS = ("log", "normal", "uniform")


def draw(axes: Axes, parameters: Parameters, samples: int, seed: int) -> list[Given]:
    """Return so many points, each parameter drawn from what is given for it.

    Raises
    ------
    InvalidInputError
        If there is nothing that can be drawn from.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise InvalidInputError(f"samples is {samples!r}, expected a whole number of 1 or more.")
    refuse_too_many(samples)
    columns = {}
    for name, source in axes.items():
        # each parameter has a sequence of its own: another one beside it changes nothing
        chance = random.Random(f"{seed} {name}")
        columns[name] = _draw(name, source, parameters, samples, chance)
    return [Given({name: column[i] for name, column in columns.items()}) for i in range(samples)]


def _draw(
    name: str, source: Any, parameters: Parameters, samples: int, chance: random.Random
) -> Sequence[Any]:
    if callable(getattr(source, "rvs", None)):
        drawn = source.rvs(size=samples, random_state=chance.randrange(2**32))
        return list(getattr(drawn, "tolist", lambda: drawn)())
    is_whole = name in parameters and KINDS[parameters[name].type].item is int
    if isinstance(source, str) and ":" in source:
        kind, numbers = _distribution(name, source)
    elif isinstance(source, tuple) and len(source) == 3 and source[0] in _DISTRIBUTIONS:
        kind, numbers = source[0], list(source[1:])
    elif isinstance(source, tuple) and len(source) == 2:
        kind, numbers = "uniform", list(source)
    else:
        choices = axis_values(name, source)
        return [chance.choice(choices) for _ in range(samples)]
    try:
        low, high = (float(number) for number in numbers)
    except (TypeError, ValueError):
        raise _no_range(name, source) from None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise _no_range(name, source)
    if kind == "normal":
        drawn = [chance.gauss(low, high) for _ in range(samples)]
    elif low > high or (kind == "log" and low <= 0) or (is_whole and math.ceil(low) > math.floor(high)):
        raise _no_range(name, source)
    elif kind == "log":
        drawn = [math.exp(chance.uniform(math.log(low), math.log(high))) for _ in range(samples)]
    elif is_whole:
        return [chance.randint(math.ceil(low), math.floor(high)) for _ in range(samples)]
    else:
        drawn = [chance.uniform(low, high) for _ in range(samples)]
    return [round(value) for value in drawn] if is_whole else drawn


def _distribution(name: str, text: str) -> tuple[str, list[Any]]:
    kind, *numbers = text.split(":")
    if kind not in _DISTRIBUTIONS:
        kind, numbers = "uniform", [kind, *numbers]
    if len(numbers) != 2:
        raise _no_range(name, text)
    return kind, numbers


def _no_range(name: str, source: Any) -> InvalidInputError:
    return InvalidInputError(
        f"Parameter {name!r} cannot be drawn from {source!r}. Give a list, (low, high), 'log:0.001:1' with numbers above 0, "
        "'uniform:0:1' or 'normal:mean:deviation'."
    )
