"""Catalogs to test: each test runs on SQLite and on PostgreSQL where a server is there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

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
    server = request.getfixturevalue("pg_url")
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    made: list[str] = []

    def make() -> str:
        name = f"wb_{uuid.uuid4().hex[:12]}"
        with admin.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        made.append(name)
        return sa.make_url(server).set(database=name).render_as_string(hide_password=False)

    yield make
    with admin.connect() as connection:
        for name in made:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


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
