"""Which datasets are read while somebody watches: those of a notebook are the inputs of its run, whether it names them or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_watchers: list[dict[str, None]] = []


@contextmanager
def watched() -> Iterator[dict[str, None]]:
    """Give the ids of all datasets that this process reads meanwhile, in their order."""
    seen: dict[str, None] = {}
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)


def note(ids: Iterable[str]) -> None:
    """Tell who watches that these are read."""
    if _watchers:
        read = dict.fromkeys(ids)
        for seen in list(_watchers):
            seen.update(read)
