"""A workspace with the example algorithms deployed, and pictures that come with scikit-image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import workbench

ALGORITHMS = Path(__file__).parents[2] / "notebooks" / "algorithms"


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[workbench.Workspace]:
    """Return a workspace that holds every example; their gate has a test of its own."""
    with workbench.open(tmp_path_factory.mktemp("examples") / "bench") as workspace:
        for manifest in sorted(ALGORITHMS.glob("*/pyproject.toml")):
            workspace.algorithms.deploy(manifest.parent, check=False)
        yield workspace


@pytest.fixture(scope="session")
def picture() -> Callable[[str], np.ndarray]:
    """Return a function that gives a grey picture of scikit-image as float32, 0..255 counts."""
    data = pytest.importorskip("skimage.data")

    def get(name: str) -> np.ndarray:
        image = getattr(data, name)().astype(np.float32)
        return image.mean(axis=-1) if image.ndim == 3 else image

    return get


@pytest.fixture(scope="session")
def psnr() -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the function that measures the peak signal-to-noise ratio of images of 0..255 counts, dB."""

    def measure(clean: np.ndarray, image: np.ndarray) -> float:
        return float(10 * np.log10(255**2 / np.mean((image.astype(np.float64) - clean) ** 2)))

    return measure
