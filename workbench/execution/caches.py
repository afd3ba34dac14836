"""What a process keeps for the next run, and how often that was of use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.pages import Page

if TYPE_CHECKING:
    from workbench.execution.executor import Services


@dataclass(frozen=True, slots=True)
class CacheState:
    """One cache of one process.

    Parameters
    ----------
    cache : str
        ``runners`` (by version and device) or ``datasets`` (fetched arrays, by content).
    process : str
    items, hits, misses : int
    held, limit : int
        Runners, or bytes.
    """

    cache: str
    process: str
    items: int
    held: int
    limit: int
    hits: int
    misses: int


def states(services: Services, process: str) -> list[CacheState]:
    """Return the state of the caches of this process."""
    runners, data = services.runners, services.datasets.cache
    loaded = len(runners.keys())
    return [
        CacheState("runners", process, loaded, loaded, runners.size, runners.hits, runners.misses),
        CacheState("datasets", process, len(data), data.nbytes, data.budget, data.hits, data.misses),
    ]


def page(found: Sequence[CacheState]) -> Page[CacheState]:
    """Return the states as a table."""
    return Page(list(found), _row, None, "caches")


def _row(state: CacheState) -> dict[str, Any]:
    is_bytes = state.cache == "datasets"
    asked = state.hits + state.misses
    return {
        "cache": state.cache,
        "process": state.process,
        "items": state.items,
        "held": f"{state.held / 1e6:.1f} MB" if is_bytes else str(state.held),
        "limit": f"{state.limit / 1e6:.0f} MB" if is_bytes else str(state.limit),
        "hits": state.hits,
        "misses": state.misses,
        "hit rate": f"{state.hits / asked:.0%}" if asked else "",
    }
