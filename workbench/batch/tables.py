"""Points from a table: a CSV file, a DataFrame, or rows."""

from __future__ import annotations

import csv
import itertools
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.algorithms.parameters import Parameters
from workbench.batch.given import MOST_POINTS, Given, parsed, refuse_too_many
from workbench.errors import InvalidInputError, NotFoundError

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_table(table: Any, parameters: Parameters) -> list[Given]:
    """Return a point for each row; an empty cell, None or NaN leaves a parameter at its default.

    Raises
    ------
    InvalidInputError, NotFoundError
        If it is no table, or has no rows.
    """
    if isinstance(table, (str, os.PathLike)):
        return _file(Path(table).expanduser(), parameters)
    if hasattr(table, "to_dict") and hasattr(table, "columns"):
        rows: Sequence[Any] = table.to_dict("records")
    else:
        rows = list(itertools.islice(table, MOST_POINTS + 1)) if isinstance(table, Iterable) else []
    refuse_too_many(len(rows))
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
            rows.append(Given({n: parsed(parameters, n, c) for n, c in texts.items()}, where))
            refuse_too_many(len(rows))
    if not rows:
        raise InvalidInputError(f"Table {path.name} has no rows below its first line.")
    return rows


def _is_absent(value: Any) -> bool:
    """Tell whether a cell says nothing: None, NaN, and what pandas calls NA and NaT."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, numbers.Real) and bool(value != value)


def _short(value: Any, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"
