"""The points of a sweep: from a grid, from lists side by side, from a table, or drawn at random."""

from __future__ import annotations

import csv
import itertools
import math
import numbers
import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.algorithms.kinds import KINDS
from workbench.algorithms.literals import literal
from workbench.algorithms.parameters import Parameters
from workbench.errors import InvalidInputError, InvalidParameterError, NotFoundError

#: A sweep is one file and a run for each point; beyond this a mistyped range is likelier than a wish.
MOST_POINTS = 20_000
SHOWN_PROBLEMS = 10
SAMPLES = 10
_DELIMITERS = {".csv": ",", ".tsv": "\t"}

Values = dict[str, Any]
Check = Callable[[Values], Values]
Axes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Given:
    """What was given for one point, and where it comes from, for messages."""

    values: Values
    where: str = ""


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
    samples: int = SAMPLES,
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
        parameter), a text such as ``"log:0.001:1"``, ``"uniform:0:1"``, ``"normal:0:1"`` (mean, deviation), or a distribution
        with a method ``rvs``, such as one of ``scipy.stats``.
    samples : int
        How many are drawn.
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
    sources: list[tuple[str, list[Given]]] = []
    if table is not None:
        sources.append(("table", _table(table, parameters)))
    if zip:
        sources.append(("zip", _zipped(zip)))
    if sample:
        sources.append(("sample", _sampled(sample, parameters, samples, seed)))
    if grid:
        sources.append(("grid", _grid(grid)))
    _refuse_overlaps([*sources, ("fixed", [Given(dict(fixed or {}))])])
    _refuse_too_many(math.prod(len(rows) for _, rows in sources))
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
    lists = {name: _values(name, values) for name, values in axes.items()}
    _refuse_too_many(math.prod(len(values) for values in lists.values()))
    return [Given(dict(zip(lists, point, strict=True))) for point in itertools.product(*lists.values())]


def _zipped(axes: Axes) -> list[Given]:
    lists = {name: _values(name, values) for name, values in axes.items()}
    lengths = {len(values) for values in lists.values()}
    if len(lengths) > 1:
        told = ", ".join(f"{name} has {len(values)}" for name, values in lists.items())
        raise InvalidInputError(
            f"Lists side by side need equal lengths: {told}. For every combination use grid=, for one value fixed=."
        )
    return [Given(dict(zip(lists, point, strict=True))) for point in zip(*lists.values(), strict=True)]


def _values(name: str, values: Any) -> list[Any]:
    """Return the values of an axis; what is no sequence is one value."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        return [values]
    # an endless generator must not be read to its end
    found = list(itertools.islice(values, MOST_POINTS + 1))
    _refuse_too_many(len(found))
    if not found:
        raise InvalidInputError(f"Parameter {name!r} has an empty list of values. Give at least one.")
    return found


# -- tables


def _table(table: Any, parameters: Parameters) -> list[Given]:
    if isinstance(table, (str, os.PathLike)):
        return _file(Path(table).expanduser(), parameters)
    if hasattr(table, "to_dict") and hasattr(table, "columns"):
        rows: Sequence[Any] = table.to_dict("records")
    else:
        rows = list(itertools.islice(table, MOST_POINTS + 1)) if isinstance(table, Iterable) else []
    _refuse_too_many(len(rows))
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise InvalidInputError(
            f"table is {type(table).__name__} {_short(table)}, expected a CSV file, a DataFrame, or rows such as "
            "[{'sigma': 1.0}, {'sigma': 2.0}]."
        )
    return [
        Given({str(k): v for k, v in row.items() if not _is_absent(v)}, f"row {number}")
        for number, row in enumerate(rows)
    ]


def _file(path: Path, parameters: Parameters) -> list[Given]:
    delimiter = _DELIMITERS.get(path.suffix.casefold())
    if delimiter is None:
        raise InvalidInputError(
            f"Table {str(path)!r} is no .csv or .tsv file. Save it as one, or pass a DataFrame."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"There is no table {str(path)!r} in {Path.cwd()}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"Table {str(path)!r} cannot be read: {error}. Save it as UTF-8 text."
        ) from error
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    names = [name.strip() for name in next(reader, [])]
    if len(set(names)) != len(names) or not all(names):
        raise InvalidInputError(
            f"Table {path.name} names its columns {', '.join(map(repr, names)) or '(nothing)'}. "
            "Its first line has to name each parameter once."
        )
    rows = []
    for cells in reader:
        where = f"{path.name} line {reader.line_num}"
        if len(cells) > len(names):
            raise InvalidInputError(f"{where} has {len(cells)} cells, and there are {len(names)} columns.")
        if any(cell.strip() for cell in cells):
            texts = {n: c for n, c in zip(names, cells, strict=False) if c.strip()}
            rows.append(Given({n: _one(parameters, n, c) for n, c in texts.items()}, where))
            _refuse_too_many(len(rows))
    if not rows:
        raise InvalidInputError(f"Table {path.name} has no rows below its first line.")
    return rows


def _is_absent(value: Any) -> bool:
    """Tell whether a cell says nothing: None, NaN, and what pandas calls NA and NaT."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, numbers.Real) and bool(value != value)


# -- random


def _sampled(axes: Axes, parameters: Parameters, samples: int, seed: int) -> list[Given]:
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise InvalidInputError(f"samples is {samples!r}, expected a whole number of 1 or more.")
    _refuse_too_many(samples)
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
    elif isinstance(source, tuple) and len(source) == 2:
        kind, numbers = "uniform", list(source)
    else:
        choices = _values(name, source)
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
    if kind not in {"log", "normal", "uniform"}:
        kind, numbers = "uniform", [kind, *numbers]
    if len(numbers) != 2:
        raise _no_range(name, text)
    return kind, numbers


def _no_range(name: str, source: Any) -> InvalidInputError:
    return InvalidInputError(
        f"Parameter {name!r} cannot be drawn from {source!r}. Give a list, (low, high), 'log:0.001:1' with numbers above 0, "
        "'uniform:0:1' or 'normal:mean:deviation'."
    )


# -- what is typed on a line


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
            values.append(_one(parameters, name, part))
        _refuse_too_many(len(values))
    return values


def is_draw(parameters: Parameters, name: str, text: str) -> bool:
    """Tell whether a text names an interval to draw from, and not values: ``0.5:4``, ``log:0.001:1``."""
    if name not in parameters or not KINDS[parameters[name].type].is_number or "," in text:
        return False
    return text.partition(":")[0] in {"log", "normal", "uniform"} or text.count(":") == 1


def _one(parameters: Parameters, name: str, text: str) -> Any:
    return literal(parameters[name], text) if name in parameters else text


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
    _refuse_too_many(count)
    values = [start + step * number for number in range(count)]
    return [int(value) if value == value.to_integral_value() else float(value) for value in values]


# -- checking


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


def _refuse_too_many(count: int) -> None:
    if count > MOST_POINTS:
        raise InvalidInputError(
            f"The sweep has {count:,} points or more; at most {MOST_POINTS:,} go into one. "
            "Take fewer values, or sample=... with samples=1000."
        )


def _refuse_overlaps(sources: Sequence[tuple[str, Sequence[Given]]]) -> None:
    seen: dict[str, str] = {}
    for source, rows in sources:
        for name in dict.fromkeys(name for row in rows for name in row.values):
            if name in seen:
                raise InvalidInputError(
                    f"Parameter {name!r} is in {seen[name]} and in {source}. Keep one of them."
                )
            seen[name] = source


def _short(value: Any, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"
