"""The notebook of a run whose process has ended in the middle of a cell: that cell shows how."""

from __future__ import annotations

import json
import re

from workbench.models import ErrorRecord

_AT = re.compile(r"cell (\d+)\b")


def show_end(notebook: str, error: ErrorRecord) -> str | None:
    """Put an error into the cell that it came from.

    Parameters
    ----------
    notebook : str
        The notebook as JSON, as far as it was saved.
    error : ErrorRecord
        Its phase names the cell: ``cell 3 of 5``.

    Returns
    -------
    str or None
        The notebook; None if there is nothing to change: no cell is named, or the notebook has an error already.

    Examples
    --------
    >>> cells = '{"cells": [{"cell_type": "code", "source": "crash()", "outputs": [], "metadata": {}}]}'
    >>> shown = show_end(cells, ErrorRecord(type="ProcessGone", message="killed", phase="cell 1 of 1"))
    >>> json.loads(shown)["cells"][0]["outputs"][0]["evalue"]
    'killed'
    """
    found = _AT.match(error.phase)
    if found is None:
        return None
    content = json.loads(notebook)
    cells = content["cells"]
    number = int(found[1])
    has_error = any(o["output_type"] == "error" for cell in cells for o in cell.get("outputs", ()))
    if has_error or number > len(cells) or cells[number - 1]["cell_type"] != "code":
        return None
    cell = cells[number - 1]
    lines = [f"\x1b[0;31m{error.type}\x1b[0m: {error.message}", *error.traceback.splitlines()]
    cell["outputs"].append(
        {"output_type": "error", "ename": error.type, "evalue": error.message, "traceback": lines}
    )
    cell["metadata"].setdefault("papermill", {}).update({"status": "failed", "exception": True})
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
