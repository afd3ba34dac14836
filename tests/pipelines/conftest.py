"""A workspace with a few algorithms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import GAIN, generic, write_algorithm

import workbench
from workbench.workspace import Workspace


@pytest.fixture
def ws(workspace_url: str, tmp_path: Path) -> Iterator[Workspace]:
    with workbench.open(workspace_url) as opened:
        opened.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
        halves = "d = data[0]['data']\nreturn [d[: len(d) // 2], d[len(d) // 2 :]]"
        opened.algorithms.deploy(
            write_algorithm(tmp_path / "halve", "halve", generic(halves), type="Generic"), check=False
        )
        yield opened


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(7).random((16, 16), dtype=np.float32)
