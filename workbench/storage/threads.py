"""Doing many small things at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(workers: int, call: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return what ``call`` gives for each item, calling it in up to ``workers`` threads at once."""
    if min(workers, len(items)) <= 1:
        return [call(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(workers, len(items)), thread_name_prefix="workbench-store") as pool:
        return list(pool.map(call, items))
