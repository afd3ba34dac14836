"""A place for algorithms: real stores, a real catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.algorithms import Algorithms
from workbench.catalog import Catalog
from workbench.settings import Settings
from workbench.storage import FsspecStore


@pytest.fixture
def make_algorithms(tmp_path: Path) -> Iterator[Callable[..., Algorithms]]:
    """Open a place for algorithms: a folder, or another URL."""
    opened: list[Any] = []

    def make(url: str | None = None, options: dict[str, Any] | None = None) -> Algorithms:
        store = FsspecStore(url or str(tmp_path / "store"), options)
        catalog = Catalog.open(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
        opened.extend((catalog, store))
        return Algorithms(store, catalog, Settings(), run=lambda *args, **options: (args, options))

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def algorithms(make_algorithms: Callable[..., Algorithms]) -> Algorithms:
    """Give a place for algorithms in a folder."""
    return make_algorithms()
