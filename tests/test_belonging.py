"""A catalog belongs to one workspace, wherever that is moved; another one is refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

import workbench
from workbench.errors import UnsupportedError, WorkspaceError


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty catalog outside of any workspace."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalogs.sqlite"
    found: str = request.getfixturevalue("pg_url")
    return found


def put(url: Path, name: str, catalog: str | None = None) -> None:
    with workbench.open(url, catalog=catalog) as ws:
        ws.datasets.put({"data": np.zeros(3)}, name=name)


def names(url: Path, catalog: str | None = None) -> list[str | None]:
    with workbench.open(url, catalog=catalog) as ws:
        return [dataset.name for dataset in ws.datasets.list(order="name")]


def test_the_catalog_of_another_workspace_is_refused_and_nothing_is_made(
    tmp_path: Path, catalog: str
) -> None:
    put(tmp_path / "a", "mine", catalog)
    with pytest.raises(
        WorkspaceError, match=rf"another workspace, which was {tmp_path}/a .*{tmp_path}/b cannot"
    ):
        workbench.open(tmp_path / "b", catalog=catalog)
    assert not (tmp_path / "b").exists()
    put(tmp_path / "b", "theirs")
    with pytest.raises(WorkspaceError, match="leave catalog out"):
        workbench.open(tmp_path / "b", catalog=catalog)
    assert names(tmp_path / "a", catalog) == ["mine"]
    assert names(tmp_path / "b") == ["theirs"]


def test_a_workspace_that_is_moved_keeps_its_catalog(tmp_path: Path, catalog: str) -> None:
    put(tmp_path / "a", "mine", catalog)
    (tmp_path / "a").rename(tmp_path / "moved")
    assert names(tmp_path / "moved", catalog) == ["mine"]


def test_a_workspace_and_its_copy_with_its_own_catalog_go_on_apart(tmp_path: Path) -> None:
    put(tmp_path / "a", "before")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    put(tmp_path / "a", "a-only")
    put(tmp_path / "copy", "copy-only")
    assert names(tmp_path / "a") == ["a-only", "before"]
    assert names(tmp_path / "copy") == ["before", "copy-only"]


def test_a_workspace_and_a_catalog_from_before_they_had_ids_find_each_other(
    tmp_path: Path, catalog: str
) -> None:
    put(tmp_path / "a", "mine", catalog)
    mark = tmp_path / "a" / "workbench.json"
    mark.write_text(json.dumps({k: v for k, v in json.loads(mark.read_text()).items() if k != "id"}))
    with sa.create_engine(catalog, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("UPDATE catalog_workspace SET id = '', url = ''"))
    assert names(tmp_path / "a", catalog) == ["mine"]
    with pytest.raises(WorkspaceError, match="another workspace"):
        workbench.open(tmp_path / "b", catalog=catalog)
    assert names(tmp_path / "a", catalog) == ["mine"]


def test_the_catalog_of_an_older_version_is_taken_over_as_it_is(tmp_path: Path) -> None:
    workbench.open(tmp_path / "ws").close()
    (tmp_path / "ws" / "catalog.sqlite").unlink()
    with closing(sqlite3.connect(tmp_path / "ws" / "catalog.sqlite")) as old:
        old.executescript((Path(__file__).parent / "catalog" / "data" / "catalog-0005.sql").read_text())
    for _ in range(2):
        with workbench.open(tmp_path / "ws") as ws:
            assert ws.entries.versions("eos") == [1]  # it is not in the store: nothing was filled


def test_a_file_that_came_from_another_workspace_is_built_anew(tmp_path: Path) -> None:
    put(tmp_path / "a", "mine")
    put(tmp_path / "b", "theirs")
    shutil.copy(tmp_path / "b" / "catalog.sqlite", tmp_path / "a" / "catalog.sqlite")
    assert names(tmp_path / "a") == ["mine"]


def test_a_mark_that_was_written_by_hand_takes_the_catalog_that_is_there(tmp_path: Path) -> None:
    put(tmp_path / "a", "mine")
    (tmp_path / "a" / "workbench.json").write_text('{"format": 1}')
    assert names(tmp_path / "a") == ["mine"]
    put(tmp_path / "a", "more")
    assert names(tmp_path / "a") == ["mine", "more"]


def test_a_database_that_is_not_supported_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError):
        workbench.open(tmp_path / "ws", catalog="mysql://user@host/database")
    assert not (tmp_path / "ws").exists()
