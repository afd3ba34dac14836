"""Fetched arrays are kept by content, up to a budget of bytes."""

from __future__ import annotations

import numpy as np

from workbench.library.data_cache import DataCache


def test_everyone_gets_a_copy_of_their_own() -> None:
    cache = DataCache(1 << 20)
    array = np.arange(10.0)
    cache.put("d", "image", array)
    array[:] = 0
    first = cache.get("d", "image")
    assert first is not None
    first[:] = 1
    second = cache.get("d", "image")
    assert second is not None
    assert second.tolist() == list(range(10))
    assert (cache.hits, cache.misses) == (2, 0)


def test_the_least_recently_used_goes_when_the_budget_is_spent() -> None:
    cache = DataCache(3 * 800)
    for name in "abc":
        cache.put(name, "image", np.zeros(100))
    assert cache.get("a", "image") is not None
    cache.put("d", "image", np.zeros(100))
    assert cache.get("b", "image") is None
    assert cache.get("a", "image") is not None
    assert cache.nbytes == 2400
    assert (cache.hits, cache.misses) == (2, 1)


def test_what_is_larger_than_the_budget_pushes_nothing_out() -> None:
    cache = DataCache(800)
    cache.put("a", "image", np.zeros(100))
    cache.put("b", "image", np.zeros(101))
    assert cache.get("a", "image") is not None
    assert cache.get("b", "image") is None


def test_a_budget_of_nothing_keeps_nothing() -> None:
    cache = DataCache(0)
    cache.put("a", "image", np.zeros(1))
    assert len(cache) == 0
    cache.put("a", "empty", np.zeros(0))
    assert cache.nbytes == 0
