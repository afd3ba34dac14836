"""``workbench.record(name, value)``: a value of this notebook that its run keeps."""

from __future__ import annotations

import base64
import io
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from workbench.errors import InvalidInputError
from workbench.library.recorded import KIND, RECORD_MIME, summary_of

INLINE = 64 << 10  # bytes of an array or frame that stay in the notebook; larger ones become datasets
THUMBNAIL = 480  # px, the longer side
_FIGURE_PX = 1200  # the longer side of a figure as it is kept

#: puts arrays and texts where large values go, and returns the id of the dataset
Put = Callable[[Mapping[str, Any], str], str]
_put: Put | None = None


def record(name: str, value: Any, *, append: bool = False) -> None:
    """Show a value and keep it with the run of this notebook.

    In a run of a template the value becomes ``run.records[name]`` and a column of its sweep's table. Anywhere else it is
    shown. It is an output of the cell, so the executed notebook has it, whatever executed it.

    Parameters
    ----------
    name : str
        A name has one value: the last one recorded.
    value : number, text, list, dict, array, tensor, DataFrame, figure or Dataset
        Large arrays and frames become datasets of the current workspace.
    append : bool
        The name has a list, and this value is added to it.

    Raises
    ------
    InvalidInputError
        For an empty name, or a value of another kind.

    Examples
    --------
    >>> record("sharpness", 0.25)
    sharpness = 0.25
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidInputError(
            f"The name of a recorded value is {name!r}, expected text such as 'sharpness'."
        )
    kept, shown = _encoded(name, value)
    payload = {"name": name, "value": kept} | ({"append": True} if append else {})
    text = f"{name} = {summary_of(kept)}" if not isinstance(value, float) else f"{name} = {value!r}"
    _display({"text/plain": text, **shown, RECORD_MIME: payload}, text)


@contextmanager
def put_by(put: Put) -> Iterator[None]:
    """Have large values put by this function while the context lasts, such as into the workspace of a run."""
    global _put
    before, _put = _put, put
    try:
        yield
    finally:
        _put = before


def _display(bundle: dict[str, Any], text: str) -> None:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        print(text)
    else:
        shell.display_pub.publish(data=bundle, metadata={})


def _encoded(name: str, value: Any) -> tuple[Any, dict[str, Any]]:
    """Return the value as JSON can hold it, and what to show beside its text."""
    if _is_frame(value):
        return _frame(name, value)
    if hasattr(type(value), "main_key"):  # a Dataset; asked of an instance, it may have none
        return recorded_dataset(value)
    if hasattr(value, "detach"):  # a tensor, wherever it is
        value = value.detach().cpu().numpy()
    if getattr(value, "shape", None) == () and hasattr(
        value, "item"
    ):  # a numpy scalar, a tensor of one number
        value = value.item()
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(name, value)
    png = _png_of(value)
    if png is not None:
        return _figure(png)
    try:
        return _plain(value), {}
    except TypeError as error:
        raise InvalidInputError(
            f"The recorded value {name!r} is a {type(value).__name__}{error}, expected a number, text, list, dict, array, "
            f"DataFrame or figure. Record what you need of it, such as record({name!r}, float(...))."
        ) from None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value if isinstance(value, (bool, str, type(None))) else int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {KIND: "number", "text": repr(float(value))}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _plain(value.item())
    if hasattr(value, "tolist") and hasattr(value, "shape"):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in value]
    raise TypeError("" if not isinstance(value, complex) else " number")


def _array(name: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    import numpy as np

    from workbench.library.preview import picture

    array = np.asarray(value)
    if array.dtype.kind not in "biufcSU":
        raise InvalidInputError(
            f"The recorded array {name!r} has dtype {array.dtype}, expected numbers, true/false or texts."
        )
    kept: dict[str, Any] = {KIND: "array", "dtype": str(array.dtype), "shape": list(array.shape)}
    if array.nbytes <= INLINE:
        out = io.BytesIO()
        np.save(out, array, allow_pickle=False)
        kept["npy"] = base64.b64encode(out.getvalue()).decode()
    else:
        kept["dataset"] = _put_away({"array": array}, name)
    png = picture(array, size=THUMBNAIL) if array.dtype.kind in "biuf" else None
    if png is None:
        return kept, {}
    kept["png"] = base64.b64encode(png).decode()
    return kept, {"image/png": kept["png"]}


def recorded_dataset(value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the main array of a dataset, which is stored already."""
    try:
        key = value.main_key
    except InvalidInputError:  # none is the main one
        return {KIND: "dataset", "dataset": value.id, "text": repr(value)}, {}
    info = value.keys[key]
    kept = {KIND: "array", "dtype": info.dtype, "shape": list(info.shape), "dataset": value.id, "key": key}
    png = value.thumbnail(key)
    if png is None:
        return kept, {}
    kept["png"] = base64.b64encode(png).decode()
    return kept, {"image/png": kept["png"]}


def _figure(png: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        if max(image.size) > _FIGURE_PX:
            image.thumbnail((_FIGURE_PX, _FIGURE_PX))
            out = io.BytesIO()
            image.save(out, "PNG")
            png = out.getvalue()
        width, height = image.size
    text = base64.b64encode(png).decode()
    return {KIND: "figure", "png": text, "width": width, "height": height}, {"image/png": text}


def _png_of(value: Any) -> bytes | None:
    """Return the picture of a figure (matplotlib, pillow, or anything that shows itself as PNG)."""
    if hasattr(value, "get_figure") and not hasattr(value, "savefig"):  # axes stand for their figure
        value = value.get_figure()
    out = io.BytesIO()
    if hasattr(value, "savefig"):
        value.savefig(out, format="png", bbox_inches="tight")
        return out.getvalue()
    if hasattr(value, "getbands") and hasattr(value, "save"):
        value.save(out, "PNG")
        return out.getvalue()
    shows = getattr(value, "_repr_png_", None)
    png = shows() if callable(shows) else None
    png = png[0] if isinstance(png, tuple) else png
    return base64.b64decode(png) if isinstance(png, str) else png


def _is_frame(value: Any) -> bool:
    return hasattr(value, "to_json") and hasattr(value, "columns") and hasattr(value, "iloc")


def _frame(name: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    # as a table where that can be: then types and index come back; columns named twice or by levels cannot
    try:
        text = value.to_json(orient="table", date_format="iso", double_precision=15)
    except (ValueError, NotImplementedError, TypeError, AttributeError):
        text = value.to_json(orient="split", date_format="iso", double_precision=15)
    kept: dict[str, Any] = {
        KIND: "frame",
        "rows": len(value),
        "columns": [str(column) for column in value.columns],
    }
    if len(text) <= INLINE:
        kept["json"] = json.loads(text)
    else:
        kept["dataset"] = _put_away({"frame": text}, name)
    return kept, {"text/html": value.head(20).to_html(max_cols=20, border=0)}


def _put_away(data: Mapping[str, Any], name: str) -> str:
    if _put is not None:
        return _put(data, name)
    from workbench.batch.surroundings import current

    return current().datasets.put(data, attributes={"recorded": name}).id
