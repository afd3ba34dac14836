"""A task for process pools that works for so many milliseconds."""

from __future__ import annotations

import time


def busy(ms: int) -> None:
    """Use one core for so long."""
    end = time.thread_time() + ms / 1000
    while time.thread_time() < end:
        pass
