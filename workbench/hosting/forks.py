"""What an algorithm forks ends where the algorithm returns to us: the run is its parent's, and so are all the words about it."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

_WORKER = "workbench.hosting.worker"
_OURS = (
    "workbench.",
    "contextlib",
    "asyncio.",
)  # what may lie between the worker and the run, when no user code does


class Border:
    """Where a run's code comes back to the worker: a child that its code has forked comes no further."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if os.getpid() != self._pid:
            _leave(error)


class _ForkedRun:
    """The run as a forked child has it: used by the code of the algorithm as before, and the end of the child when we use it."""

    def __getattribute__(self, name: str) -> Any:
        if _is_out():
            _leave(sys.exception())
        return super().__getattribute__(name)

    def report_progress(self, fraction: float, message: str = "") -> None:
        """Do nothing: the record is the parent's."""


def mark_forked(live: Any) -> None:
    """Make a run the one of a forked child; called in the child, right after the fork."""
    kind = type(live)
    live.__class__ = type(f"Forked{kind.__name__}", (_ForkedRun, kind), {})
    if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()) is not None:
        # what a cell raises comes no further than its shell
        shell.events.register(
            "post_run_cell", lambda cell: _leave(cell.error_in_exec or cell.error_before_exec)
        )


def _is_out() -> bool:
    """Tell whether the run is used by us and not, however deep, by code of the algorithm."""
    frame = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module == _WORKER:
            return True
        if not module.startswith(_OURS):
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _leave(error: BaseException | None) -> NoReturn:
    """End this process as an interpreter would that has come to the end of its program."""
    code, said = 0, ""
    if isinstance(error, SystemExit):
        if isinstance(error.code, int):
            code = error.code & 0xFF
        elif error.code is not None:
            code, said = 1, f"{error.code}\n"
    elif error is not None:
        code = 1
        with suppress(Exception):  # what it says of itself may fail too
            said = "".join(traceback.format_exception(error))
    with suppress(OSError):
        os.write(2, said.encode("utf-8", "replace"))
    os._exit(code)
