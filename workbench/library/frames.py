"""DataFrames as datasets: a key for each column, and beside them what makes the same DataFrame of them again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.errors import MissingPackageError
from workbench.library.frame_columns import NotKeptError, index_data, index_of, values_data, values_of

if TYPE_CHECKING:
    import pandas

    from workbench.models import KeyInfo

KEY = "frame"  # of the dataset: how its other keys are a DataFrame
_MOST_KEYS = 100
_DEEPEST = 20
_HEADER = "header"
_BEGIN = '{"pandas": 1, '  # of the header, which later kinds will begin with another number


def is_frame(value: Any) -> bool:
    """Tell whether a value is a DataFrame of pandas itself; pandas is not imported for that."""
    found = getattr(sys.modules.get("pandas"), "DataFrame", None)
    return found is not None and type(value) is found


def frame_data(frame: pandas.DataFrame) -> dict[str, Any]:
    """Return the data of a dataset that gives exactly this DataFrame back.

    Columns are kept under their names: numbers, true and false, times with and without zone, texts, categories, and pandas' own
    dtypes with missing values.

    Raises
    ------
    NotKeptError
        If the columns, dtypes, labels or attributes would not all be the same; with what it is, in words after "a DataFrame".
    """
    tree, columns = _columns_data(frame)
    try:
        (labels, label_data), (index, rows) = index_data(frame.columns), index_data(frame.index)
    except NotKeptError as error:
        raise NotKeptError(f"whose index or labels {error}") from None
    header = {
        "columns": columns,
        "labels": labels,
        "index": index,
        "attrs": _plain_attrs(frame),
        "allows_duplicate_labels": frame.flags.allows_duplicate_labels,
    }
    tree[KEY] = {_HEADER: _BEGIN + json.dumps(header)[1:], "labels": label_data, "index": rows}
    if not _gives_back(tree, frame):
        raise NotKeptError("of a kind that would not come back the same")
    return tree


def is_frame_data(tree: Any) -> bool:
    """Tell whether the data of a dataset is a DataFrame."""
    about = tree.get(KEY) if isinstance(tree, Mapping) else None
    header = about.get(_HEADER) if isinstance(about, Mapping) else None
    return isinstance(header, str) and header.startswith(_BEGIN)


def frame_text(keys: Mapping[str, KeyInfo]) -> str:
    """Return what a DataFrame that was kept is, by the keys of its dataset: ``DataFrame of mean, part``; nothing for other data."""
    about = keys.get(KEY)
    if about is None or not {_HEADER} <= about.items.keys() <= {_HEADER, "labels", "index"}:
        return ""
    columns = ", ".join(key for key in keys if key != KEY)
    return f"DataFrame of {columns if len(columns) <= 60 else columns[:59] + '…'}"


def frame_of(tree: Mapping[str, Any]) -> pandas.DataFrame:
    """Return the DataFrame that was kept as the data of a dataset.

    Raises
    ------
    MissingPackageError
        Without pandas.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingPackageError(
            "A DataFrame needs pandas, which is not installed. Run: pip install pandas; or read the arrays of its dataset.",
            package="pandas",
        ) from error
    about = tree[KEY]
    header = json.loads(about[_HEADER])
    index = index_of(header["index"], about.get("index"))
    rows = pandas.RangeIndex(len(index))
    columns = {}
    for position, (key, spec) in enumerate(header["columns"]):
        data = tree[key] if "at" not in spec else tree[key][:, spec["at"]]
        values = values_of(spec, data)
        columns[position] = pandas.Series(values, index=rows, dtype=values.dtype)
    frame = pandas.DataFrame(columns, index=rows)
    frame.index = index
    frame.columns = index_of(header["labels"], about.get("labels"))
    frame.attrs = header["attrs"]
    return frame.set_flags(allows_duplicate_labels=header["allows_duplicate_labels"])


def frame_html(tree: Mapping[str, Any]) -> str:
    """Return the first and last rows and columns of a DataFrame that was kept, with its shape, as HTML; nothing for other data."""
    if not is_frame_data(tree):
        return ""
    shown = frame_of(tree).to_html(max_rows=10, max_cols=12, border=0, show_dimensions=True, notebook=True)
    return str(shown)


def frames_as_data(value: Any, depth: int = 0) -> Any:
    """Return a value with data of datasets in the place of the DataFrames in its lists, tuples and dicts.

    Raises
    ------
    NotKeptError
        If one of them would not come back the same; in words after "a DataFrame".
    """
    if is_frame(value):
        return frame_data(value)
    if type(value) in (list, tuple) and depth < _DEEPEST and not _is_flat(value):
        return type(value)(frames_as_data(member, depth + 1) for member in value)
    if type(value) is dict and depth < _DEEPEST:
        return {key: frames_as_data(member, depth + 1) for key, member in value.items()}
    return value


def with_frames(tree: Any) -> Any:
    """Return the data of a dataset with the DataFrames that `frames_as_data` has put into it, or that it is itself."""
    if is_frame_data(tree):
        return frame_of(tree)
    if type(tree) in (list, tuple) and not _is_flat(tree):
        return type(tree)(map(with_frames, tree))
    return {key: with_frames(member) for key, member in tree.items()} if type(tree) is dict else tree


def _is_flat(members: Iterable[Any]) -> bool:
    """Tell whether nothing in a list can be, or hold, a DataFrame: such lists may be long."""
    return not any(is_frame(member) or type(member) in (list, tuple, dict) for member in members)


def _columns_data(frame: pandas.DataFrame) -> tuple[dict[str, Any], list[Any]]:
    """Return the data of the columns by key, and for each column its key and what it is.

    Of a frame with many columns those of numbers lie in one array for each dtype: a key for each would take long to read.
    """
    tree: dict[str, Any] = {}
    columns: list[Any] = []
    together: dict[str, list[Any]] = {}
    is_wide = frame.shape[1] > _MOST_KEYS
    for position, key in enumerate(_keys(frame.columns)):
        try:
            spec, data = values_data(frame.iloc[:, position])
        except NotKeptError as error:
            raise NotKeptError(f"whose column {frame.columns[position]!r} {error}") from None
        if is_wide and spec["kind"] == "plain":
            key = f"columns {data.dtype}"
            part = together.setdefault(key, [])
            spec = {**spec, "at": len(part)}
            part.append(data)
        else:
            tree[key] = data
        columns.append([key, spec])
    for key, part in together.items():
        if key in tree:
            raise NotKeptError(f"with many columns, one of which is called {key!r}")
        tree[key] = _table(part)
    return tree, columns


def _table(columns: list[Any]) -> Any:
    import numpy as np

    return np.stack(columns, axis=1)


def _keys(labels: Iterable[Any]) -> list[str]:
    """Return a key of a dataset for each column: its label, where that can be one."""
    keys = [KEY]
    for position, label in enumerate(labels):
        is_key = isinstance(label, str) and label not in ("", ".") and not {"/", "\0"} & set(label)
        key = str(label) if is_key and label.isprintable() else f"column {position}"
        while key in keys:
            key += f" ({position})"
        keys.append(key)
    return keys[1:]


def _plain_attrs(frame: pandas.DataFrame) -> dict[str, Any]:
    try:
        attrs: dict[str, Any] = json.loads(json.dumps(frame.attrs))
    except (TypeError, ValueError):
        attrs = {}
    if attrs != frame.attrs:
        raise NotKeptError("whose attrs hold what JSON cannot")
    return attrs


def _gives_back(tree: dict[str, Any], frame: pandas.DataFrame) -> bool:
    try:
        found = frame_of(tree)
        return (
            bool(found.equals(frame))
            and list(found.dtypes) == list(frame.dtypes)
            and _are_same(found.index, frame.index)
            and _are_same(found.columns, frame.columns)
        )
    except (TypeError, ValueError, KeyError, AttributeError, NotImplementedError):
        return False  # a dtype of another package that says of itself that it is one of those


def _are_same(one: pandas.Index, other: pandas.Index) -> bool:
    same_freq = getattr(one, "freq", None) == getattr(other, "freq", None)
    return type(one) is type(other) and one.dtype == other.dtype and bool(one.identical(other)) and same_freq
