"""The random numbers of runs begin from their seeds, and the user's go on as if nothing had been."""

from __future__ import annotations

import random

import numpy as np
import pytest

from workbench.execution import seeds
from workbench.execution.seeds import Seeded, UserState


def drawn() -> list[float]:
    """Draw what a user would; numpy keeps every second normal number back."""
    return [random.random(), random.gauss(0, 1), *np.random.normal(size=3), np.random.random()]


def of_run(seed: int) -> list[float]:
    with Seeded() as seeded:
        seeded.start(seed)
        return drawn()


def expected() -> tuple[list[float], list[float]]:
    """Return what a user draws before and after, with nothing in between."""
    random.seed(1)
    np.random.seed(1)
    return drawn(), drawn()


@pytest.mark.parametrize("is_block", [False, True])
def test_the_user_draws_on_as_if_nothing_had_been(is_block: bool) -> None:
    before, after = expected()
    random.seed(1)
    np.random.seed(1)
    assert drawn() == before
    if is_block:
        with UserState():
            results = [of_run(seed) for seed in (7, 8, 7)]
    else:
        results = [of_run(seed) for seed in (7, 8, 7)]
    assert results[0] == results[2] != results[1]
    assert drawn() == after


def test_in_a_block_the_users_state_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    keep = seeds._keep_numpy
    monkeypatch.setattr(seeds, "_keep_numpy", lambda: (kept.append("numpy"), keep())[1])
    with UserState():
        for seed in range(5):
            of_run(seed)
    assert kept == ["numpy"]
    of_run(1)
    assert kept == ["numpy"] * 2


def test_a_block_in_a_block_gives_back_what_it_found() -> None:
    before, after = expected()
    random.seed(1)
    np.random.seed(1)
    assert drawn() == before
    with UserState():
        first = of_run(3)
        with UserState():
            assert of_run(3) == first
        assert of_run(3) == first
    assert drawn() == after
