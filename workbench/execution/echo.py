"""What a run prints is shown where its caller is, up to a limit; all of it is in the log."""

from __future__ import annotations

import threading

MOST_LINES = 1000


class EchoLimit:
    """Lets so many lines pass, then says once where the others are.

    Parameters
    ----------
    run_id : str
    most : int
    """

    def __init__(self, run_id: str, most: int = MOST_LINES) -> None:
        self._run_id = run_id
        self._left = most
        self._lock = threading.Lock()

    def take(self, text: str) -> str:
        """Return what of a text is to be shown."""
        with self._lock:
            if self._left <= 0:
                return ""
            lines = text.splitlines(keepends=True)
            shown = "".join(lines[: self._left])
            self._left -= text.count("\n")
            if self._left <= 0:
                shown += f"… more lines are in the log: %algojobs {self._run_id} log\n"
            return shown
