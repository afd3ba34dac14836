"""What a notebook has recorded, read back from its outputs; values as JSON and back.

A recorded value is an output of the notebook, ``{"name": ..., "value": ..., "append": ...}`` of the type `RECORD_MIME`, beside
what is shown for it; so it is kept by whatever executes and saves notebooks. Plain values are themselves. Others are a
mapping with the key `KIND`::

    {"$record": "array",  "dtype", "shape", "npy": base64 | "dataset": id and "key", "png": base64 thumbnail, where one can be drawn}
    {"$record": "dataset", "dataset": id, "text"}, for one without a main array
    {"$record": "frame",  "rows", "columns", "json": {...} | "dataset": id}
    {"$record": "figure", "png": base64, "width", "height"}
    {"$record": "number", "text": "nan"}
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, NotFoundError
from workbench.library.picture import Picture

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from workbench.library import Datasets

RECORD_MIME = "application/vnd.workbench.record+json"
KIND = "$record"


def records_of(notebook: NotebookNode | Mapping[str, Any]) -> dict[str, Any]:
    """Return what a notebook has recorded: name to a value that JSON can hold; `live` makes the object of it.

    The last value of a name stands; those recorded with ``append=True`` are a list, in order.
    """
    records: dict[str, Any] = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            payload = output.get("data", {}).get(RECORD_MIME)
            if payload is not None:
                add_record(records, payload)
    return records


def add_record(records: dict[str, Any], payload: Mapping[str, Any]) -> None:
    """Add one displayed record to those before it."""
    if not isinstance(payload, Mapping) or "name" not in payload:
        return  # another version's, or not ours
    name, value = str(payload["name"]), plain_number(payload.get("value"))
    if not payload.get("append"):
        records[name] = value
    elif isinstance(records.get(name), list):
        records[name] = [*records[name], value]
    else:
        records[name] = [value]


def kind_of(value: Any) -> str:
    """Return ``array``, ``frame``, ``figure``, ``dataset`` or, for plain values, empty text."""
    return str(value.get(KIND, "")) if isinstance(value, Mapping) else ""


def plain_number(value: Any) -> Any:
    """Return the numbers that JSON has no word for as numbers again, at any depth."""
    if isinstance(value, Mapping):
        if value.get(KIND) == "number":
            return float(value["text"])
        return value if KIND in value else {key: plain_number(inner) for key, inner in value.items()}
    return [plain_number(inner) for inner in value] if isinstance(value, list) else value


def live(value: Any, datasets: Datasets | None = None) -> Any:
    """Return the object that a recorded value stands for: an ndarray, a DataFrame, a Picture, a Dataset, or the value itself.

    Large arrays in a folder are mapped: they cost nothing until they are looked at.

    Parameters
    ----------
    value
        As `records_of` gives it.
    datasets : Datasets, optional
        The workspace's, which hold what was too large for the notebook.

    Raises
    ------
    InvalidInputError
        If it lies in a workspace and none was given.
    NotFoundError
        If its dataset was deleted.
    MissingPackageError
        For a frame, without pandas.
    """
    if isinstance(value, list):
        return [live(inner, datasets) for inner in value]
    kind = kind_of(value)
    if kind == "array":
        if "dataset" in value:
            key = value.get("key", "array")
            return _of(datasets, value["dataset"], key)[key]
        import numpy as np

        return np.load(io.BytesIO(base64.b64decode(value["npy"])), allow_pickle=False)
    if kind == "dataset":
        return _known(datasets, value["dataset"]).find(value["dataset"])
    if kind == "frame":
        is_kept = "dataset" in value
        return _frame(
            json.loads(_of(datasets, value["dataset"], "frame")["frame"]) if is_kept else value["json"]
        )
    if kind == "figure":
        return Picture(base64.b64decode(value["png"]), value["width"], value["height"])
    return plain_number(value)


def live_or_words(value: Any, datasets: Datasets) -> Any:
    """Return what `live` does; for what was deleted since, a few words that say so."""
    try:
        return live(value, datasets)
    except NotFoundError:
        return f"{reference_of(value)}, deleted"


def is_record(value: Any) -> bool:
    """Return whether a value is a recorded array, frame, figure or dataset, or a list of them."""
    return kind_of(value[-1] if isinstance(value, list) and value else value) not in ("", "number")


def thumbnail_of(value: Any) -> bytes | None:
    """Return a small PNG of a figure or array, if there is one; of a list, that of its last member."""
    if isinstance(value, list):
        return thumbnail_of(value[-1]) if value else None
    return base64.b64decode(value["png"]) if kind_of(value) and value.get("png") else None


def summary_of(value: Any) -> str:
    """Return a recorded value in a few words, for tables.

    >>> summary_of({"$record": "array", "dtype": "float32", "shape": [8, 9]}), summary_of(0.123456)
    ('8 x 9 float32', '0.1235')
    """
    from workbench.pages import cell_text

    kind = kind_of(value)
    if kind == "array":
        return shape_text(value["shape"], value["dtype"])
    if kind == "frame":
        return frame_text(value["rows"], len(value["columns"]))
    if kind == "dataset":
        return str(value["text"])
    if kind == "figure":
        return f"figure {value['width']} x {value['height']}"
    if isinstance(value, list) and value and kind_of(value[-1]):
        return f"{len(value)} x {summary_of(value[-1])}"
    text = cell_text(value)
    return text if len(text) <= 80 else text[:79] + "…"


def reference_of(value: Any, run: str = "") -> str:
    """Return a recorded array, frame, figure or dataset in a few words with where it is: for files that hold texts.

    Parameters
    ----------
    value
        As `records_of` gives it.
    run : str
        Id of the run whose notebook has what is no dataset of its own.

    Examples
    --------
    >>> reference_of({"$record": "figure", "png": "", "width": 400, "height": 300}, "20261125-x")
    'figure 400 x 300, runs/20261125-x.ipynb'
    """
    member = value[-1] if isinstance(value, list) and value else value
    if "dataset" in member:
        return f"{summary_of(value)}, dataset {member['dataset']}"
    return f"{summary_of(value)}, runs/{run}.ipynb" if run else summary_of(value)


def shape_text(shape: Sequence[int], dtype: Any) -> str:
    """Return an array's shape and dtype as tables have them.

    >>> shape_text((8, 9), "float32")
    '8 x 9 float32'
    """
    return f"{' x '.join(map(str, shape)) or 'scalar'} {dtype}"


def frame_text(rows: int, columns: int) -> str:
    """Return a frame's size as tables have it: ``2 rows x 1 column``."""
    return f"{rows} row{'' if rows == 1 else 's'} x {columns} column{'' if columns == 1 else 's'}"


def _of(datasets: Datasets | None, id: str, key: str) -> Mapping[str, Any]:
    return _known(datasets, id).get(id, key)


def _known(datasets: Datasets | None, id: str) -> Datasets:
    if datasets is None:
        raise InvalidInputError(f"The value is the dataset {id} of a workspace. Pass ws.datasets.")
    return datasets


def _frame(content: Mapping[str, Any]) -> Any:
    try:
        import pandas
    except ImportError:
        from workbench.errors import MissingPackageError

        raise MissingPackageError(
            "A recorded frame needs pandas, which is not installed. Run: pip install pandas.",
            package="pandas",
        ) from None
    text, orient = json.dumps(content), "table" if "schema" in content else "split"
    return pandas.read_json(io.StringIO(text), orient=orient)
