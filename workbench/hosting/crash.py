"""What Python says of its own crash: the calls that a process was in when compiled code ended it."""

from __future__ import annotations

import faulthandler
import re
from collections.abc import Sequence
from pathlib import Path

_BEGIN = "Fatal Python error: "
_EXTENSIONS = "Extension modules: "
_CELL = re.compile(r'"[^"]*ipykernel_\d+[/\\]\d+\.py"')
_OURS = str(Path(__file__).parents[1])
_RUNNERS = (_OURS, "/IPython/core/", "/ipykernel/", "/asyncio/")


def tell_crashes(file: int) -> None:
    """Have a crash of this process written to a descriptor, with the calls that led to it."""
    faulthandler.enable(file=file, all_threads=False)


def split_crash(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what a process has written, and apart from it what Python says of its crash.

    Calls of what runs the code, be it ours or IPython's, are left out; a cell is called one.

    >>> split_crash(["almost done", "Fatal Python error: Aborted", 'File "/tmp/ipykernel_7/42.py", line 1 in <module>'])
    (['almost done'], ['Fatal Python error: Aborted', 'File <this cell or an earlier one>, line 1 in <module>'])
    """
    begin = next((n for n, line in enumerate(lines) if line.startswith(_BEGIN)), None)
    if begin is None:
        return list(lines), []
    crash: list[str] = []
    for line in lines[begin:]:
        if line.startswith(_EXTENSIONS) or any(part in line for part in _RUNNERS):
            break
        crash.append(_CELL.sub("<this cell or an earlier one>", line))
    return list(lines[:begin]), crash
