"""Entries of a workspace: add, find, list, search, versions."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import workbench
from workbench.errors import (
    AlreadyExistsError,
    InvalidDataError,
    InvalidInputError,
    NotFoundError,
    UnsupportedError,
)
from workbench.models import EntryKind

CATALOGS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=CATALOGS)
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    catalog = request.getfixturevalue("pg_url") if request.param == "postgresql" else None
    with workbench.open(tmp_path / "project" / "ws", catalog=catalog) as found:
        found.catalog.clear()
        yield found


def hdf5(path: Path, rows: int = 4, width: int = 3, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        file["inputs"] = random.random((rows, width), np.float32)
        file["outputs"] = random.random((rows, 1), np.float32)
    return path


def add_models(ws: workbench.Workspace, folder: Path, count: int) -> None:
    path = folder / "net.pt"
    path.write_bytes(b"weights")
    for i in range(count):
        facts: dict[str, Any] = {"val_error": i / 10, "layers": i % 3, "family": "ab"[i % 2]}
        ws.entries.add("eos", path, "models", metadata=facts, check=False)


def test_files_of_one_addition_share_the_next_version(ws: workbench.Workspace, tmp_path: Path) -> None:
    files = [hdf5(tmp_path / f"run{i}.h5", seed=i) for i in range(3)]
    first = ws.entries.add("eos", files, metadata={"temperature": 300})
    (second,) = ws.entries.add("eos", str(files[0]))
    (other,) = ws.entries.add("eos", files[0], "candidates")
    assert [entry.version for entry in first] == [1, 1, 1]
    assert (second.version, other.version, ws.entries.next_version("eos")) == (2, 1, 3)
    assert [entry.name for entry in ws.entries.list("eos", "data", version=1, order="created")] == [
        "run0.h5",
        "run1.h5",
        "run2.h5",
    ]
    assert first[0].metadata == {"temperature": 300}
    assert first[0].path.read_bytes() == files[0].read_bytes()
    assert ws.entries.versions("eos") == [1, 2]
    by_version = ws.entries.versions("eos", files=True)
    assert {v: len(found) for v, found in by_version.items()} == {1: 3, 2: 1}
    assert ws.entries.domains() == ["eos"]


def test_a_path_is_no_name_of_an_entry(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = hdf5(tmp_path / "run.h5")
    ws.entries.add("eos", path)
    with pytest.raises(InvalidInputError, match=r"Write name='run.h5'"):
        ws.entries.list(name=str(path))
    assert str(ws.entries.of("solver")) == f"Entries of 'solver' in {ws.store.url}"


def test_each_file_of_one_addition_may_have_metadata_of_its_own(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    files = [hdf5(tmp_path / f"run{i}.h5", seed=i) for i in range(600)]  # more than one statement takes
    added = ws.entries.add("eos", files, metadata=[{"i": i, "word": f"w{i}"} for i in range(600)])
    assert [entry.metadata["i"] for entry in added] == list(range(600))
    assert {entry.version for entry in added} == {1}
    found = ws.entries.search("i == 577", "eos")
    assert [(entry.name, entry.metadata["word"]) for entry in found] == [("run577.h5", "w577")]


def test_find_names_one_entry(ws: workbench.Workspace, tmp_path: Path) -> None:
    a, b = ws.entries.add("eos", [hdf5(tmp_path / "a.h5"), hdf5(tmp_path / "b.h5", seed=1)])
    (c,) = ws.entries.add("eos", tmp_path / "a.h5", version=7)
    assert ws.entries.find("eos/data") == ws.entries.find("eos/data@latest") == ws.entries.find(c) == c
    assert ws.entries.find("eos/data@7") == ws.entries.find(c.id) == c
    assert ws.entries.find("eos/data@1/b.h5") == ws.entries.find(b.ref) == b
    with pytest.raises(InvalidInputError, match=r"several files.*eos/data@1/"):
        ws.entries.find("eos/data@1")
    with pytest.raises(NotFoundError, match="versions 1, 7"):
        ws.entries.find("eos/data@3")
    with pytest.raises(NotFoundError, match="Did you mean 'eos'"):
        ws.entries.find("eoss/data")
    with pytest.raises(InvalidInputError, match="Did you mean 'models'"):
        ws.entries.find("eos/model")
    with pytest.raises(InvalidInputError, match="domain/kind"):
        ws.entries.find("eos")
    assert a.version == 1


def test_an_explicit_version_is_given_once_and_the_next_goes_on_from_it(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    a, b = hdf5(tmp_path / "a.h5"), hdf5(tmp_path / "b.h5", seed=1)
    ws.entries.add("eos", a, version=5)
    with pytest.raises(AlreadyExistsError, match=r"eos/data has a version 5.*next one, 6.*extend=True"):
        ws.entries.add("eos", b, version=5)
    ws.entries.add("eos", b, version=5, extend=True)
    with pytest.raises(AlreadyExistsError, match=r"version 5 would have two files 'b.h5'"):
        ws.entries.add("eos", b, version=5, extend=True)
    assert ws.entries.add("eos", b)[0].version == 6
    assert len(ws.entries.list("eos", version=5)) == 2


def test_what_is_wrong_is_refused_and_leaves_nothing(ws: workbench.Workspace, tmp_path: Path) -> None:
    good = hdf5(tmp_path / "good.h5")
    (tmp_path / "text.h5").write_text("no hdf5")
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"files": [good, tmp_path / "god.h5"]}, NotFoundError, "god.h5. Did you mean 'good.h5'"),
        ({"files": tmp_path}, InvalidInputError, "is a folder"),
        ({"files": []}, InvalidInputError, "no file to add"),
        ({"files": None}, InvalidInputError, "files is None, expected a path"),
        ({"files": [5]}, InvalidInputError, "5 is no file"),
        ({"files": [good, good]}, AlreadyExistsError, "would have two files 'good.h5'"),
        ({"kind": "modles"}, InvalidInputError, "Did you mean 'models'"),
        ({"version": 0}, InvalidInputError, "whole number of 1 or more"),
        ({"version": "3"}, InvalidInputError, "Write version=3"),
        ({"version": True}, InvalidInputError, "whole number"),
        ({"metadata": {"version": 1}}, InvalidInputError, "'version', which every entry has"),
        ({"metadata": {"x": float("nan")}}, InvalidInputError, "metadata['x'] is nan"),
        ({"metadata": [{"x": 1}, {"x": 2}]}, InvalidInputError, "a list of 2 for 1 file"),
        ({"domain": "a/b"}, InvalidInputError, "Try 'a-b'"),
        ({"files": tmp_path / "text.h5"}, InvalidDataError, "is not HDF5"),
        ({"kind": "models"}, InvalidDataError, "neither TorchScript nor safetensors"),
    ]
    for given, error, text in refused:
        for dry_run in (True, False):
            with pytest.raises(error) as caught:
                ws.entries.add(**{"domain": "eos", "files": good, "dry_run": dry_run, **given})
            assert text in str(caught.value)
    with pytest.raises(InvalidInputError, match=r"is an entry, and files are added. Name its file"):
        ws.entries.add("eos", ws.entries.add("eos", good, dry_run=True)[0])  # type: ignore[arg-type]
    assert [(e.version, e.name) for e in ws.entries.add("eos", good, dry_run=True)] == [(1, "good.h5")]
    assert len(ws.entries.list()) == 0
    assert not list(ws.store.list("entries"))


def test_search_compares_combines_sorts_and_pages(ws: workbench.Workspace, tmp_path: Path) -> None:
    add_models(ws, tmp_path, 12)

    def found(where: str | None = None, **options: Any) -> list[int]:
        return [entry.version for entry in ws.entries.search(where, "eos", "models", **options)]

    assert found("val_error < 0.3") == [3, 2, 1]
    assert found("val_error < 0.3", order="val_error") == [1, 2, 3]
    assert found("0.2 <= val_error < 0.5 and family == 'a'") == [5, 3]
    assert found("val_error < 0.1 or val_error > 1.0") == [12, 1]
    assert found("not (val_error < 1.0)") == [12, 11]
    assert found("layers in (1, 2) and family != 'a'", order="-val_error") == [12, 8, 6, 2]
    assert found("family > 'a'", order="version") == [2, 4, 6, 8, 10, 12]
    assert found("version >= 11", order="family") == [11, 12]
    assert found(metadata={"family": "a", "layers": 0}) == [7, 1]
    assert found(version="latest") == [12]
    assert found(version=[2, 4], order="version") == [2, 4]
    assert found("name == 'net.pt' and nothing == 1") == []
    page = ws.entries.search("val_error > 0.1", "eos", "models", order="-val_error", limit=4)
    seen = [entry.version for entry in page]
    while page.has_more:
        page = page.next()
        seen += [entry.version for entry in page]
    assert seen == list(range(12, 2, -1))


def test_pages_go_on_across_domains(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5")
    for i in range(9):
        label: Any = i if i < 6 else f"t{i}"
        domain = "x" if i % 2 else "y"
        ws.entries.add(domain if i < 6 else "z", path, metadata={"label": label})
    for order in ("label", "-label", "created", "-created", "version"):
        page, seen = ws.entries.search(order=order, limit=2), []
        while True:
            seen += [entry.metadata["label"] for entry in page]
            if not page.has_more:
                break
            page = page.next()
        expected = [0, 1, 2, 3, 4, 5, "t6", "t7", "t8"]
        if order == "version":
            assert sorted(map(str, seen)) == sorted(map(str, expected))
        else:
            assert seen == (expected[::-1] if order.startswith("-") else expected)
    assert {(e.domain, e.version) for e in ws.entries.list(version="latest")} == {
        ("x", 3),
        ("y", 3),
        ("z", 3),
    }


@pytest.mark.parametrize(
    "where", ["val_error <", "val_error + 1", "1 < 2", "a is b", "f(x) < 1", "x == y", "x in y"]
)
def test_a_condition_that_is_not_understood_is_refused(ws: workbench.Workspace, where: str) -> None:
    with pytest.raises(InvalidInputError, match=r"is not understood.*Write such as"):
        ws.entries.search(where)


def test_a_misspelt_key_is_named_and_one_that_nobody_has_finds_nothing(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    add_models(ws, tmp_path, 2)
    for asked in ({"where": "val_eror < 0.1"}, {"order": "-val_eror"}, {"metadata": {"val_eror": 1}}):
        with pytest.raises(NotFoundError, match="Did you mean 'val_error'"):
            ws.entries.search(**asked)
    assert list(ws.entries.search("pressure > 1")) == []
    for asked in ({"where": "creatd > '2026-01-01'"}, {"order": "-sise"}, {"where": "knd == 'data'"}):
        with pytest.raises(NotFoundError, match=r"Did you mean '(created|size|kind)'"):
            ws.entries.search(**asked)
    assert repr(ws.entries.list(trashed=True)) == "No entries in the trash."
    with pytest.raises(InvalidInputError, match=r"in the trash is sorted by size, kind.* only"):
        ws.entries.list(trashed=True, order="val_error")


def test_what_cannot_be_searched_or_sorted_by_is_refused(ws: workbench.Workspace, tmp_path: Path) -> None:
    add_models(ws, tmp_path, 1)
    for where, text in [
        (
            "digest == 'a'",
            "'digest' cannot be searched for. Conditions name keys of the metadata, and size, kind",
        ),
        ("val_error < 1 and not kind == 'modls'", "kind is 'modls'.*Did you mean 'models'"),
        ("kind in ('data', 'sample')", "kind is 'sample', expected one of data, candidates, models"),
        ("kind == 3", "kind is compared with 3, expected text: kind == 'models'"),
        ("domain", "domain is compared with 1, expected text: domain == 'eos'"),
        (f"name == {2**60}", f"name is compared with '{2**60}', expected text: name == 'run1.h5'"),
        ("version == '3'", "version is compared with '3', expected a number: version == 3"),
        ("size > 'big'", "size is 'big', expected bytes or a text such as \"4 GB\""),
        (
            "created > 'yesterday'",
            "created is compared with 'yesterday', which is no time. Write a day such as",
        ),
        ("created == 2026", "created is compared with 2026, which is no time"),
        ("created > '9999-12-31'", "which is no time"),
    ]:
        with pytest.raises(InvalidInputError, match=text):
            ws.entries.search(where)
    with pytest.raises(InvalidInputError, match=r"Conditions are searched: ws.entries.search\('size > 3'\)"):
        ws.entries.find("size > 3")
    with pytest.raises(InvalidInputError, match="'parents' cannot be"):
        ws.entries.search(metadata={"parents": "models"})
    with pytest.raises(InvalidInputError, match="domain is 5, expected text"):
        ws.entries.search(domain=5)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match=r"no domain 'eoss'.*Did you mean 'eos'"):
        ws.entries.search("domain == 'eoss' and val_error < 1")
    for order in ("digest", "-path", "id", "", None):
        with pytest.raises(InvalidInputError, match=r"order is .*expected 'size', 'kind'.* or a key"):
            ws.entries.search(order=order)  # type: ignore[arg-type]


def test_after_the_highest_version_there_is_none(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5")
    ws.entries.add("eos", path, version=2**31 - 1)
    for call in (
        lambda: ws.entries.add("eos", path),
        lambda: ws.entries.add("eos", path, dry_run=True),
        lambda: ws.entries.next_version("eos"),
    ):
        with pytest.raises(InvalidInputError, match="has the version 2147483647, and there is none after it"):
            call()
    ws.entries.add("eos", path, version=7)
    assert [e.version for e in ws.entries.list(order="-version")] == [2**31 - 1, 7]
    assert [e.version for e in ws.entries.list(order="version", limit=1).all()] == [7, 2**31 - 1]


def test_a_misspelt_file_of_a_version_is_named(ws: workbench.Workspace, tmp_path: Path) -> None:
    ws.entries.add("eos", [hdf5(tmp_path / "run1.h5"), hdf5(tmp_path / "run2.h5")])
    with pytest.raises(NotFoundError, match=r"Did you mean 'run1.h5'"):
        ws.entries.find("eos/data@1/rn1.h5")
    with pytest.raises(NotFoundError, match=r"eos/data@1 has run1.h5, run2.h5\."):
        ws.entries.find("eos/data@1/zebra")
    (found,) = ws.entries.search(metadata={"kind": EntryKind.DATA, "name": "run1.h5"})
    assert found.name == "run1.h5"


def test_numbers_of_numpy_and_large_ones_are_numbers(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"rows")
    facts = {"seed": 2**53 + 1, "hash": int("f" * 300, 16), "error": np.float32(0.5)}
    (entry,) = ws.entries.add("eos", path, version=np.int64(3), metadata=facts, check=False)
    assert entry.metadata == {**facts, "error": 0.5}
    assert (
        list(ws.entries.list(version=np.int64(3)))
        == list(ws.entries.list(version=np.arange(5)[3:]))
        == [entry]
    )
    assert list(ws.entries.search(metadata={"error": np.float32(0.5), "seed": 2**53 + 1})) == [entry]
    assert list(ws.entries.search(f"hash == {facts['hash']} and hash > 1e300")) == [entry]
    assert not ws.entries.search(f"seed == {2**53}")
    assert ws.entries.search(order="hash").next() is not None
    with pytest.raises(NotFoundError, match="Did you mean 'seed'"):
        ws.entries.search("sed == 1")
    for value in (float("nan"), float("inf"), {1}):
        with pytest.raises(InvalidInputError, match=r"metadata\['score'\] is .*which JSON cannot hold"):
            ws.entries.add("eos", path, metadata={"a": 1, "score": value}, check=False)
    ws.entries.add("eos", path, metadata={"hash": "n/a", "learning rate": 0.1, "lambda": 2}, check=False)
    assert [e.version for e in ws.entries.search(order="hash")] == [3, 4]
    assert [e.version for e in ws.entries.search("`learning rate` < 1 and `lambda` == 2")] == [4]


@pytest.mark.parametrize("ref", [5, None, "eos/data@0"])
def test_what_names_nothing_is_refused(ws: workbench.Workspace, ref: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ws.entries.find(ref)
    assert "None for the next" not in str(caught.value)
    assert not ws.entries.list(name=Path("a.h5"))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["memory", pytest.param("s3", marks=pytest.mark.s3)])
def test_stores_without_folders_keep_entries_too(
    request: pytest.FixtureRequest, tmp_path: Path, memory_url: str, kind: str
) -> None:
    s3 = request.getfixturevalue("s3") if kind == "s3" else None
    url, options = (s3.new_url(), s3.storage_options) if s3 else (memory_url, None)
    path = hdf5(tmp_path / "a.h5")
    with workbench.open(url, storage_options=options) as ws:
        (entry,) = ws.entries.add("eos", path)
        entry.verify()
        assert entry.export(tmp_path / "out.h5").read_bytes() == path.read_bytes()
        with pytest.raises(UnsupportedError, match=r"\.open\(\)"):
            entry.path
        assert ws.entries.view("eos")[1:3].shape == (2, 3)
        ws.reindex()
        assert list(ws.entries.list()) == [entry]
        ws.entries.purge(entry)
        assert not list(ws.store.list("files"))


def test_applications_do_not_see_each_other(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5")
    solver = ws.entries.of("solver")
    (mine,), (theirs,) = ws.entries.add("eos", path), solver.add("eos", path)
    assert (mine.version, theirs.version) == (1, 1)
    assert (list(ws.entries.list()), list(solver.list())) == ([mine], [theirs])
    assert ws.entries.versions("eos") == solver.versions("eos") == [1]
    with pytest.raises(NotFoundError):
        solver.find(mine.id)


def test_reindex_rebuilds_entries_from_the_store(ws: workbench.Workspace, tmp_path: Path) -> None:
    add_models(ws, tmp_path, 3)
    ws.entries.add("eos", [hdf5(tmp_path / "a.h5"), hdf5(tmp_path / "b.h5", seed=1)], version=4)
    before = [e.record for e in ws.entries.list()]
    assert ws.reindex()["entries"] == 5
    assert [e.record for e in ws.entries.list()] == before
    assert [e.version for e in ws.entries.search("val_error < 0.2", order="val_error")] == [1, 2]
    assert ws.entries.next_version("eos") == 5


def test_the_entries_alone_can_be_reindexed(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5")
    ids = [ws.entries.add("eos", path)[0].id for _ in range(3)]
    ws.datasets.put({"data": np.zeros(3)}, name="kept")
    ws.store.delete("entries", ["workspace/eos/data/3.json"])
    ws.store.put("entries", "workspace/eos/data/7.json", "damaged")
    with pytest.warns(UserWarning, match=r"7\.json is damaged"):
        assert ws.entries.reindex() == 2
    assert [e.id for e in ws.entries.list(order="created")] == ids[:2]
    assert [d.name for d in ws.datasets.list()] == ["kept"]
    assert ws.entries.add("eos", path)[0].version == 8


WRITER = """
import sys, workbench
url, path, number, catalog = sys.argv[1:]
with workbench.open(url, catalog=catalog or None) as ws:
    for i in range(int(number)):
        print(ws.entries.add("eos", path, check=False, copy=False)[0].version)
"""


@pytest.mark.parametrize("kind", CATALOGS)
def test_eight_processes_allocate_a_hundred_versions_each(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    path = hdf5(tmp_path / "a.h5")
    catalog = request.getfixturevalue("pg_url") if kind == "postgresql" else ""
    with workbench.open(tmp_path / "ws", catalog=catalog or None) as ws:
        ws.catalog.clear()
    command = [sys.executable, "-c", WRITER, str(tmp_path / "ws"), str(path), "100", catalog]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    got = [int(line) for writer in writers for line in writer.communicate()[0].split()]
    assert not any(writer.returncode for writer in writers)
    assert sorted(got) == list(range(1, 801))
    with workbench.open(tmp_path / "ws", catalog=catalog or None) as ws:
        assert ws.entries.versions("eos") == list(range(1, 801))


def test_of_threads_with_one_explicit_version_one_gets_it(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5")
    ws.entries.domains()
    won, lost = [], []

    def add() -> None:
        try:
            won.append(ws.entries.add("eos", path, version=3))
        except AlreadyExistsError as error:
            lost.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 3)
    assert len(ws.entries.list("eos", version=3)) == 1
