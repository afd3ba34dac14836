"""ResultsFrame: the DataFrame of a sweep, which a notebook shows with small pictures."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from workbench.library.picture import Picture, thumbnail_html
from workbench.library.preview import picture
from workbench.library.recorded import frame_text, shape_text

_LONGEST = 120  # characters of a cell's text
_SHORT = 24  # that stay on one line
_PX = 160  # of an array's picture


class ResultsFrame(pandas.DataFrame):  # type: ignore[misc]
    """A DataFrame in all it does; shown in a notebook, its figures and arrays are thumbnails.

    What is chosen from it (``table[table.sigma > 1]``) is one too.
    """

    @property
    def _constructor(self) -> type[ResultsFrame]:
        return ResultsFrame

    def _repr_html_(self) -> str | None:
        rows, columns = self.shape
        most, few = pandas.get_option("display.max_rows"), pandas.get_option("display.min_rows")
        shown = pandas.DataFrame(self)
        if most and rows > most:  # as pandas does it, so that no picture is made of what is not shown
            half = max(1, min(few or most, most) // 2)
            shown = shown.iloc[[*range(half), *range(rows - half, rows)]]
        cells = {i: _cells(shown.iloc[:, i]) for i in range(columns)}  # columns may be named twice
        made = pandas.DataFrame(cells, index=[_escaped(label) for label in shown.index])
        made.columns = [_escaped(name) for name in self.columns]
        with pandas.option_context("display.max_colwidth", None):
            most_columns = pandas.get_option("display.max_columns") or None
            table = made.to_html(escape=False, max_cols=most_columns, notebook=True)
        cut = f", {len(shown)} of them shown" if len(shown) < rows else ""
        return f"{table}<p>{rows} rows x {columns} columns{cut}</p>"


def _cells(column: pandas.Series) -> list[Any]:
    return list(column) if column.dtype.kind in "biufcM" else [cell_html(value) for value in column]


def frame_of(rows: Sequence[Mapping[str, Any]]) -> ResultsFrame:
    """Return rows with the same columns as a frame, in whose cells may be arrays and frames."""
    columns: dict[str, Any] = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        if any(isinstance(value, (np.ndarray, pandas.DataFrame, list, tuple, dict)) for value in values):
            cells = np.empty(len(values), dtype=object)  # pandas would take an array apart
            for position, value in enumerate(values):
                cells[position] = value
            columns[name] = cells
        else:
            columns[name] = values
    return ResultsFrame(columns)


def cell_html(value: Any) -> str:
    """Return a cell: a picture where one can be made, else a few words."""
    if isinstance(value, Picture):
        return thumbnail_html(value.png, str(value))
    if isinstance(value, np.ndarray):
        png = picture(value, size=_PX) if value.dtype.kind in "biuf" else None
        words = shape_text(value.shape, value.dtype)
        return _text_html(words) if png is None else thumbnail_html(png, words)
    if isinstance(value, pandas.DataFrame):
        return _text_html(frame_text(len(value), len(value.columns)))
    if isinstance(value, list) and value and isinstance(value[-1], (Picture, np.ndarray, pandas.DataFrame)):
        return "".join(cell_html(member) for member in value[-4:])
    return _text_html("" if value is None else str(value))


def _text_html(text: str) -> str:
    """Return a text that front ends do not squeeze for the columns beside it."""
    style = "white-space:nowrap" if len(text) <= _SHORT else "display:block;min-width:18em;text-align:left"
    return f'<span style="{style}">{_escaped(text)}</span>' if text else ""


def _escaped(value: Any) -> str:
    text = str(value)
    return html.escape(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")
