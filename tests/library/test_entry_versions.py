"""Files of versions: several machines with catalogs of their own, and writers that were killed before their commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import sqlalchemy as sa

import workbench
from workbench.errors import AlreadyExistsError, ConflictError, NotFoundError

CATALOGS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=CATALOGS)
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    catalog = request.getfixturevalue("pg_url") if request.param == "postgresql" else None
    with workbench.open(tmp_path / "ws", catalog=catalog) as found:
        found.catalog.clear()
        yield found


def hdf5(path: Path, rows: int = 4) -> Path:
    with h5py.File(path, "w") as file:
        file["inputs"] = np.ones((rows, 3))
    return path


@pytest.mark.s3
@pytest.mark.filterwarnings("ignore:.* that the catalog here did not know")
def test_two_machines_with_catalogs_of_their_own_lose_nothing_on_s3(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, url = hdf5(tmp_path / "a.h5"), s3.new_url()

    def machine(name: str) -> workbench.Workspace:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return workbench.open(url, storage_options=s3.storage_options)

    with machine("a") as a, machine("b") as b:
        mine = [a.entries.add("eos", path)[0] for _ in range(2)]
        theirs = [b.entries.add("eos", path)[0] for _ in range(2)]
        last = a.entries.add("eos", path)[0]
        assert [e.version for e in (*mine, *theirs, last)] == [1, 2, 3, 4, 5]
        with pytest.raises(AlreadyExistsError, match="version 5"):
            b.entries.add("eos", path, version=5)
        all_ids = {e.id for e in (*mine, *theirs, last)}
        assert {e.id for e in a.entries.list()} == all_ids
        assert a.reindex()["entries"] == b.reindex()["entries"] == 5
        assert {e.id for e in b.entries.list()} == all_ids


@pytest.mark.s3
def test_two_machines_do_not_overwrite_each_others_changes_of_a_version_on_s3(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, url = [hdf5(tmp_path / f"{i}.h5", i + 1) for i in range(3)], s3.new_url()

    def machine(name: str) -> workbench.Workspace:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return workbench.open(url, storage_options=s3.storage_options)

    with machine("a") as a:
        added = a.entries.add("eos", paths, "candidates")
        with machine("b") as b:
            turns = iter(added)

            def trash_after_the_other(record: Any) -> Any:
                if next(turns, None) is added[1]:  # what is there was read, and is written next
                    b.entries.remove(added[0].id)
                return record.model_copy(update={"trashed": record.created})

            with pytest.raises(
                ConflictError, match=r"candidates version 1 was changed by another machine.*nothing was"
            ):
                a.entries._change([added[2].record], trash_after_the_other)
            assert len(a.entries.list()) == 3
            a.entries.remove(added[2].id)  # again: what the other did is taken up first
            assert [e.id for e in a.entries.list()] == [added[1].id]
            b.entries.remove(added[2].id)
            assert {e.id for e in b.entries.list(trashed=True)} == {added[0].id, added[2].id}

            b.entries.move(added[1].id, "data")
            with (
                pytest.warns(UserWarning, match=r"moved 1.h5 out of eos/candidates version 1.*reindex"),
                pytest.raises(NotFoundError, match="moved or purged by somebody else"),
            ):
                a.entries.remove(added[1].id)
            assert a.reindex()["entries"] == 3
            assert a.entries.find("eos/data@1").id == added[1].id
            a.entries.purge(added[0].id)
            a.entries.remove("eos/data@1")
            b.reindex()
            assert {e.id for e in b.entries.list(trashed=True)} == {added[1].id, added[2].id}


def test_a_version_that_is_only_in_the_store_is_taken_up_and_never_overwritten(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    path = hdf5(tmp_path / "a.h5")
    first, second = (ws.entries.add("eos", path)[0] for _ in range(2))
    with ws.catalog.change_entries([("workspace", "eos", "data")]) as change:
        change.delete([second.id])
    with sqlite_or_server(
        ws
    ) as connection:  # as if it had been added by a process that was killed before its commit
        connection.execute(sa.text("UPDATE entry_scopes SET last = 1"))
    third = ws.entries.add("eos", path)[0]
    assert third.version == 3
    assert [e.id for e in ws.entries.list(order="version")] == [first.id, second.id, third.id]
    assert ws.reindex()["entries"] == 3


def test_a_version_that_another_machine_gives_in_this_moment_is_refused(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hdf5(tmp_path / "a.h5")
    ws.entries.add("eos", path)
    there = ws.store.get("entries", "workspace/eos/data/1.json")
    exist = ws.store.exist

    def exist_and_be_overtaken(collection: str, keys: Any) -> list[bool]:
        found = exist(collection, keys)
        if collection == "entries":
            ws.store.put("entries", "workspace/eos/data/2.json", there)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(ws.store, "exist", exist_and_be_overtaken)
        with pytest.raises(ConflictError, match=r"version 2 was given by another machine.*share a catalog"):
            ws.entries.add("eos", path)
    assert ws.store.get("entries", "workspace/eos/data/2.json") == there
    assert ws.entries.versions("eos") == [1]


def sqlite_or_server(ws: workbench.Workspace) -> Any:
    url = ws.settings.catalog or f"sqlite:///{ws.url}/catalog.sqlite"
    return sa.create_engine(url, poolclass=sa.NullPool).begin()
