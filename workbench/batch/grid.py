"""The points of a sweep: from a grid, from lists side by side, from a table, or drawn at random."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.algorithms.parameters import Parameters
from workbench.batch.draws import draw
from workbench.batch.given import Axes, Given, Values, axis_values, refuse_too_many
from workbench.batch.options import check_points_options
from workbench.batch.tables import read_table
from workbench.errors import InvalidInputError, InvalidParameterError

SHOWN_PROBLEMS = 10
SAMPLES = 10

Check = Callable[[Values], Values]


@dataclass(frozen=True, slots=True)
class Points:
    """Points that were checked.

    Parameters
    ----------
    values : list of dict
        Of each point every parameter with its value.
    varied : tuple of str
        Names of the parameters that differ between points.
    notes : tuple of str
        What is worth knowing about them.
    """

    values: list[Values]
    varied: tuple[str, ...]
    notes: tuple[str, ...] = ()


def make_points(
    parameters: Parameters,
    check: Check,
    *,
    grid: Axes | None = None,
    zip: Axes | None = None,
    table: Any = None,
    sample: Axes | None = None,
    samples: int | None = None,
    seed: int = 0,
    fixed: Mapping[str, Any] | None = None,
) -> Points:
    """Return the points that are meant, every one checked.

    Parameters
    ----------
    parameters : Parameters
    check : callable
        Returns the values of a point with all defaults, or raises `InvalidParameterError` with ``problems``.
    grid : mapping, optional
        Name to values: each with each.
    zip : mapping, optional
        Name to values, side by side: the first of all, the second of all, ...
    table : path, DataFrame or sequence of mappings, optional
        One point for each row. An empty cell, None or NaN leaves a parameter at its default.
    sample : mapping, optional
        Name to what is drawn from: a list (one of them), a tuple ``(low, high)`` (in between, whole numbers for a whole-number
        parameter), ``("log", low, high)``, a text such as ``"log:0.001:1"``, ``"uniform:0:1"``, ``"normal:0:1"`` (mean, deviation), or a distribution
        with a method ``rvs``, such as one of ``scipy.stats``.
    samples : int, optional
        How many are drawn; default: 10.
    seed : int
        Equal seeds draw equal points.
    fixed : mapping, optional
        The same for all points.

    Several of them are combined: every row of the one with every row of the other.

    Raises
    ------
    InvalidInputError
        If there are no points or far too many, or lists do not fit together.
    InvalidParameterError
        With every wrong value of every point in ``problems``.
    """
    check_points_options(grid=grid, zip=zip, sample=sample, samples=samples, seed=seed, fixed=fixed)
    sources: list[tuple[str, list[Given]]] = []
    if table is not None:
        sources.append(("table", read_table(table, parameters)))
    if zip:
        sources.append(("zip", _zipped(zip)))
    if sample:
        sources.append(("sample", draw(sample, parameters, samples or SAMPLES, seed)))
    if grid:
        sources.append(("grid", _grid(grid)))
    _refuse_overlaps([*sources, ("fixed", [Given(dict(fixed or {}))])])
    refuse_too_many(math.prod(len(rows) for _, rows in sources))
    if not sources:
        raise InvalidInputError(
            "The sweep has no points. Give values, such as grid={'sigma': [1, 2, 3]}, or a table, zip or sample."
        )
    given = []
    for parts in itertools.product(*(rows for _, rows in sources)):
        values = dict(fixed or {})
        for part in parts:
            values |= part.values
        given.append(Given(values, next((part.where for part in parts if part.where), "")))
    return check_points(given, check)


def _grid(axes: Axes) -> list[Given]:
    lists = {name: axis_values(name, values) for name, values in axes.items()}
    refuse_too_many(math.prod(len(values) for values in lists.values()))
    return [Given(dict(zip(lists, point, strict=True))) for point in itertools.product(*lists.values())]


def _zipped(axes: Axes) -> list[Given]:
    lists = {name: axis_values(name, values) for name, values in axes.items()}
    lengths = {len(values) for values in lists.values()}
    if len(lengths) > 1:
        told = ", ".join(f"{name} has {len(values)}" for name, values in lists.items())
        raise InvalidInputError(
            f"Lists side by side need equal lengths: {told}. For every combination use grid=, for one value fixed=."
        )
    return [Given(dict(zip(lists, point, strict=True))) for point in zip(*lists.values(), strict=True)]


def check_points(given: Sequence[Given], check: Check) -> Points:
    """Return the points that were given, every one checked.

    Raises
    ------
    InvalidParameterError
        With every wrong value of every point in ``problems``.
    """
    values: list[Values] = []
    problems: dict[str, str] = {}
    where_of: dict[str, list[str]] = {}
    wrong = 0
    for number, point in enumerate(given):
        try:
            values.append(check(point.values))
        except InvalidParameterError as error:
            wrong += 1
            where = point.where or f"point {number}"
            for name, message in (error.problems or {"": str(error)}).items():
                problems[f"{where}: {name}"] = message
                where_of.setdefault(message, []).append(where)
    if problems:
        shown = [f"\n- {_places(places)}: {text}" for text, places in where_of.items()]
        more = f"\n- and {len(shown) - SHOWN_PROBLEMS} more problems" if len(shown) > SHOWN_PROBLEMS else ""
        raise InvalidParameterError(
            f"{wrong} of {len(given)} points cannot be run, and nothing was started:"
            f"{''.join(shown[:SHOWN_PROBLEMS])}{more}",
            problems=problems,
        )
    return Points(values, _varied(values), _notes(values))


def _places(places: Sequence[str]) -> str:
    text = ", ".join(places[:3])
    return text if len(places) <= 3 else f"{text} and {len(places) - 3} more"


def _varied(values: Sequence[Values]) -> tuple[str, ...]:
    names = dict.fromkeys(name for point in values for name in point)
    absent = object()
    return tuple(
        name
        for name in names
        if any(not _same(point.get(name, absent), values[0].get(name, absent)) for point in values[1:])
    )


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or (a != a and b != b))


def _notes(values: Sequence[Values]) -> tuple[str, ...]:
    first: dict[str, int] = {}
    twice = [
        (number, first[key])
        for number, point in enumerate(values)
        if first.setdefault(key := repr(sorted(point.items())), number) != number
    ]
    if not twice:
        return ()
    told = ", ".join(f"{number} as {earlier}" for number, earlier in twice[:3])
    more = f" and {len(twice) - 3} more" if len(twice) > 3 else ""
    return (f"{len(twice)} of {len(values)} points are the same as an earlier one: {told}{more}",)


def _refuse_overlaps(sources: Sequence[tuple[str, Sequence[Given]]]) -> None:
    seen: dict[str, str] = {}
    for source, rows in sources:
        for name in dict.fromkeys(name for row in rows for name in row.values):
            if name in seen:
                raise InvalidInputError(
                    f"Parameter {name!r} is in {seen[name]} and in {source}. Keep one of them."
                )
            seen[name] = source
