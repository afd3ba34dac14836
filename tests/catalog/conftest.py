"""Catalogs to test: each test runs on SQLite and on PostgreSQL where a server is there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from workbench.catalog import Catalog


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def new_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], str]]:
    """Return a callable that gives the URL of an empty database, of which there may be many."""
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("catalogs")
        yield lambda: f"sqlite:///{folder}/{uuid.uuid4().hex}.sqlite"
        return
    server = request.getfixturevalue("pg_server")
    with ExitStack() as databases:
        yield lambda: databases.enter_context(server.new_database())


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture(scope="module")
def module_catalog(new_url: Callable[[], str]) -> Iterator[Catalog]:
    with Catalog.open(new_url()) as catalog:
        yield catalog


@pytest.fixture
def catalog(module_catalog: Catalog) -> Catalog:
    """Return an empty catalog; a module's tests share its database, which is quicker than one for each."""
    module_catalog.clear()
    return module_catalog
