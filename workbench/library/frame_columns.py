"""Columns and indexes of pandas as arrays that a dataset can hold, with a few words of JSON that say what they were."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

Spec = dict[str, Any]
_TEXT, _NONE, _NAN, _NA = range(4)  # what stands in a column of texts
_MOST_LABELS = 1000  # of several kinds in one index, such as numbers and texts
_MASKED = {"boolean", "Float32", "Float64"} | {
    f"{sign}nt{bits}" for sign in ("I", "UI") for bits in (8, 16, 32, 64)
}


class NotKeptError(Exception):
    """Something of a DataFrame cannot be kept as it is: in words that follow what it is."""


def values_data(values: pandas.Series | pandas.Index) -> tuple[Spec, Any]:
    """Return what the values of a column or index are, and the data that is stored for them.

    Raises
    ------
    NotKeptError
        For objects that are no text, and dtypes that are not known here.
    """
    import numpy as np
    import pandas

    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind in "biufc":
            return {"kind": "plain"}, np.asarray(values)
        if dtype.kind in "mM":
            return {"kind": "time", "dtype": dtype.str}, np.asarray(values).view(np.int64)
        if dtype.kind == "O":
            return {"kind": "object"}, _texts_data(values)
    elif isinstance(dtype, pandas.DatetimeTZDtype):
        utc = np.asarray(values.array.tz_convert(None))
        return {"kind": "zone", "dtype": utc.dtype.str, "tz": str(dtype.tz)}, utc.view(np.int64)
    elif isinstance(dtype, pandas.StringDtype):
        missing = "NA" if dtype.na_value is pandas.NA else "nan"
        return {"kind": "string", "storage": dtype.storage, "missing": missing}, _texts_data(values)
    elif isinstance(dtype, pandas.CategoricalDtype):
        spec, data = index_data(dtype.categories)
        codes = np.asarray(values.array.codes)
        return {"kind": "category", "ordered": dtype.ordered, "categories": spec}, {
            "codes": codes,
            "categories": data,
        }
    elif dtype.name in _MASKED:
        plain = values.array.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0))
        return {"kind": "masked", "dtype": dtype.name}, {
            "values": plain,
            "missing": np.asarray(values.isna()),
        }
    raise NotKeptError(f"is of dtype {dtype}")


def values_of(spec: Spec, data: Any) -> Any:
    """Return the array of numpy or pandas that `values_data` has told of."""
    import pandas

    kind = spec["kind"]
    if kind == "plain":
        return data
    if kind == "object":
        return _texts_of(data)
    if kind == "time":
        return data.view(spec["dtype"])
    if kind == "zone":
        return pandas.DatetimeIndex(data.view(spec["dtype"])).tz_localize("UTC").tz_convert(spec["tz"]).array
    if kind == "string":
        return pandas.array(_texts_of(data), dtype=_string_dtype(spec))
    if kind == "category":
        categories = index_of(spec["categories"], data.get("categories"))
        return pandas.Categorical.from_codes(data["codes"], categories=categories, ordered=spec["ordered"])
    found = pandas.array(data["values"], dtype=spec["dtype"])
    found[data["missing"]] = pandas.NA
    return found


def index_data(index: pandas.Index) -> tuple[Spec, Any]:
    """Return what an index is, and the data that is stored for it; None for one that is a range.

    Raises
    ------
    NotKeptError
        As `values_data`, and for names that are no numbers, texts or tuples of them.
    """
    import numpy as np
    import pandas

    names = [_name_data(name) for name in index.names]
    if isinstance(index, pandas.MultiIndex):
        levels = [index_data(level) for level in index.levels]
        codes = [np.asarray(code) for code in index.codes]
        return (
            {"kind": "levels", "names": names, "levels": [spec for spec, _ in levels]},
            {"codes": codes, "levels": [data for _, data in levels]},
        )
    if type(index) is pandas.RangeIndex:
        return {"kind": "range", "names": names, "range": [index.start, index.stop, index.step]}, None
    if (
        index.dtype == object
        and len(index) <= _MOST_LABELS
        and not all(type(label) is str for label in index)
    ):
        return {"kind": "labels", "names": names, "labels": [_name_data(label) for label in index]}, None
    spec, data = values_data(index)
    return {**spec, "names": names, "freq": getattr(index, "freqstr", None)}, data


def index_of(spec: Spec, data: Any) -> pandas.Index:
    """Return the index that `index_data` has told of."""
    import numpy as np
    import pandas

    names = [_name_of(name) for name in spec["names"]]
    if spec["kind"] == "levels":
        levels = [index_of(level, part) for level, part in zip(spec["levels"], data["levels"], strict=True)]
        return pandas.MultiIndex(levels=levels, codes=data["codes"], names=names)
    if spec["kind"] == "range":
        return pandas.RangeIndex(*spec["range"], name=names[0])
    if spec["kind"] == "labels":
        labels = np.empty(len(spec["labels"]), dtype=object)
        for i, label in enumerate(spec["labels"]):  # one by one: numpy would take tuples apart
            labels[i] = _name_of(label)
        return pandas.Index(labels, dtype=object, name=names[0], tupleize_cols=False)
    values = values_of(spec, data)
    index = pandas.Index(values, dtype=values.dtype, name=names[0])
    if spec["freq"] is not None:
        index.freq = spec["freq"]
    return index


def _texts_data(values: Any) -> Any:
    """Return texts, and where there is none of the three things that stand for it."""
    import numpy as np
    import pandas

    objects = np.asarray(values, dtype=object)
    marks = np.zeros(len(objects), np.uint8)
    for i, item in enumerate(objects):
        if type(item) is str:
            continue
        if item is None:
            marks[i] = _NONE
        elif type(item) is float and math.isnan(item):
            marks[i] = _NAN
        elif item is pandas.NA:
            marks[i] = _NA
        else:
            raise NotKeptError(f"holds objects that are no text, such as {_article(type(item).__name__)}")
    if not marks.any():
        return objects
    texts = objects.copy()  # pandas may have given its own memory
    texts[marks != _TEXT] = ""
    return {"texts": texts, "missing": marks}


def _texts_of(data: Any) -> Any:
    import numpy as np
    import pandas

    if not isinstance(data, dict):
        return data
    objects = np.array(data["texts"], dtype=object)
    for mark, item in {_NONE: None, _NAN: math.nan, _NA: pandas.NA}.items():
        objects[data["missing"] == mark] = item
    return objects


def _string_dtype(spec: Spec) -> Any:
    import pandas

    missing = {} if spec["missing"] == "NA" else {"na_value": math.nan}
    try:
        return pandas.StringDtype(spec["storage"], **missing)
    except ImportError:  # pyarrow is not here; the texts are the same without it
        return pandas.StringDtype("python", **missing)


def _name_data(name: Any) -> Any:
    if type(name) is tuple:
        return {"tuple": [_name_data(part) for part in name]}
    if name is None or type(name) in (bool, int, float, str):
        return name
    raise NotKeptError(f"has a label or name that is {_article(type(name).__name__)}")


def _name_of(name: Any) -> Any:
    return tuple(_name_of(part) for part in name["tuple"]) if isinstance(name, dict) else name


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiouAEIOU" else f"a {word}"
