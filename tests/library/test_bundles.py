"""Bundles of a workspace: folders kept in step by checksum."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import workbench
from workbench.errors import (
    ConflictError,
    DamagedError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    ReadOnlyError,
    StorageFullError,
)
from workbench.library.bundle_diff import State
from workbench.library.bundle_files import fetch
from workbench.library.bundle_folder import MEMORY, BundleFolder, Scope

PLACES = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgres),
    pytest.param("s3", marks=pytest.mark.s3),
]


@pytest.fixture(params=PLACES)
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    """Give a workspace in a folder, with its catalog on PostgreSQL, and on S3."""
    url: Any = tmp_path / "ws"
    options: dict[str, Any] = {}
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        url, options = s3.new_url(), {"storage_options": s3.storage_options}
    if request.param == "postgresql":
        options = {"catalog": request.getfixturevalue("pg_url")}
    with workbench.open(url, **options) as found:
        found.catalog.clear()
        yield found


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as found:
        yield found


def fill(folder: Path, **files: str) -> Path:
    """Write files; ``a_txt`` is ``a.txt``, ``data__a_txt`` is ``data/a.txt``."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def ml_folder(path: Path) -> Path:
    fill(
        path,
        readme_md="read me",
        data__a_jpg="A",
        data__deep__b_jpg="B",
        config__c_yaml="c: 1",
        output__model_pth="W" * 99,
    )
    fill(path / ".cache", thumbnail_jpg="not mine")
    fill(path / "__pycache__", x_pyc="nor mine")
    return path


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
    }


def objects(ws: workbench.Workspace) -> list[str]:
    return [info.key for info in ws.store.list("bundle-files")]


def test_a_folder_is_pushed_and_pulled_and_only_what_differs_travels(
    anywhere: workbench.Workspace, tmp_path: Path
) -> None:
    ws, mine, copy = anywhere, ml_folder(tmp_path / "ml"), tmp_path / "copy"
    sent = ws.bundles.push("insects", mine, message="first")
    assert list(sent) == ["config/c.yaml", "data/a.jpg", "data/deep/b.jpg", "output/model.pth", "readme.md"]
    assert (sent.version, list(ws.bundles.push("insects", mine))) == (1, [])
    assert list(ws.bundles.pull("insects", copy)) == list(sent)
    assert contents(copy) == contents(mine)
    assert (copy / "readme.md").stat().st_mtime_ns == (mine / "readme.md").stat().st_mtime_ns
    assert list(ws.bundles.pull("insects", copy)) == []

    fill(copy, readme_md="read me again", data__new_jpg="A")
    sent = ws.bundles.push("insects", copy)
    assert (list(sent), sent.version) == (["data/new.jpg", "readme.md"], 2)
    assert list(ws.bundles.pull("insects", mine)) == ["data/new.jpg", "readme.md"]
    assert contents(mine) == contents(copy)
    assert len(objects(ws)) == 6  # a.jpg and new.jpg share one

    old = tmp_path / "old"
    assert len(ws.bundles.pull("insects@1", old)) == 5
    assert (old / "readme.md").read_text() == "read me"
    assert [(b.ref, b.record.count, b.record.message) for b in ws.bundles.versions("insects")] == [
        ("insects@2", 6, ""),
        ("insects@1", 5, "first"),
    ]
    with ws.bundles.get("insects").open("readme.md") as file:
        assert file.read() == b"read me again"
    assert ws.bundles.verify("insects").version == 2


def test_data_and_model_are_parts_of_a_bundle(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine = ml_folder(tmp_path / "ml")
    assert list(ws.bundles.push("insects", mine, "model")) == ["config/c.yaml", "output/model.pth"]
    assert list(ws.bundles.push("insects", mine, "data")) == ["data/a.jpg", "data/deep/b.jpg"]
    assert list(ws.bundles.pull("insects", tmp_path / "m", "model")) == ["config/c.yaml", "output/model.pth"]
    (tmp_path / "m" / "output" / "model.pth").write_text("better")
    assert list(ws.bundles.push("insects", tmp_path / "m", "model", delete=True)) == ["output/model.pth"]
    assert sorted(ws.bundles.get("insects").files) == [
        "config/c.yaml",
        "data/a.jpg",
        "data/deep/b.jpg",
        "output/model.pth",
    ]
    with pytest.raises(
        InvalidInputError, match=r"what is 'models', expected one of all, data, model. Did you mean 'model'"
    ):
        ws.bundles.push("insects", mine, "models")


def test_a_part_of_a_version_has_its_files_only(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine = ml_folder(tmp_path / "ml")
    (mine / "data" / "empty").mkdir()
    ws.bundles.push("insects", mine)
    (mine / "output" / "model.pth").unlink()
    ws.bundles.push("insects", mine, delete=True)
    data, model = ws.bundles.get("insects", what="data"), ws.bundles.get("insects", 1, "model")
    assert (sorted(data.files), data.folders) == (
        ["config/c.yaml", "data/a.jpg", "data/deep/b.jpg"],
        ("data/empty",),
    )
    assert (sorted(model.files), model.folders) == (["config/c.yaml", "output/model.pth"], ())
    assert sorted(model.contents) == sorted(model.files)
    assert [row["file"] for row in model.table().rows()] == sorted(model.files)
    assert [word in repr(model) for word in ("103 B", "model", "insects")] == [True] * 3
    assert sorted(ws.bundles.get("insects@1").files)[-1] == "readme.md"
    with pytest.raises(InvalidInputError, match=r"what is 'modl', expected .* Did you mean 'model'"):
        ws.bundles.get("insects", what="modl")


def test_patterns_choose_files(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine = ml_folder(tmp_path / "ml")
    assert list(ws.bundles.push("a", mine, exclude=["*.jpg", "/config"])) == ["output/model.pth", "readme.md"]
    assert list(ws.bundles.push("b", mine, include="*.jpg")) == ["data/a.jpg", "data/deep/b.jpg"]
    for given, problem in (
        ({"include": "*.tif"}, r"ml with include='\*\.tif': none of its files is meant then\. Change"),
        ({"exclude": iter(["*.*"])}, r"ml with exclude='\*\.\*': none"),
        (
            {"include": ["*.tif", "*.png"], "what": "model"},
            r"include='\*\.tif', '\*\.png' and what='model'.* output or c",
        ),
    ):
        with pytest.raises(InvalidInputError, match=f"There is no file to push in .*{problem}"):
            ws.bundles.push("c", mine, **given)
    hidden_only = fill(tmp_path / "hidden", _profile="not mine")
    with pytest.raises(InvalidInputError, match=r"it is empty, but for hidden files"):
        ws.bundles.push("c", hidden_only)
    assert [b.name for b in ws.bundles.list()] == ["a", "b"]


def test_dry_runs_and_diffs_move_nothing(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine, copy = fill(tmp_path / "ml", a_txt="1", b_txt="2"), tmp_path / "copy"
    would = ws.bundles.push("x", mine, dry_run=True)
    assert (list(would), would.version, len(ws.bundles.list()), objects(ws)) == (
        ["a.txt", "b.txt"],
        None,
        0,
        [],
    )
    assert "would be sent" in repr(would)
    ws.bundles.push("x", mine)
    assert list(ws.bundles.pull("x", copy, dry_run=True)) == ["a.txt", "b.txt"]
    assert not copy.exists()
    ws.bundles.pull("x", copy)
    fill(mine, a_txt="mine", c_txt="new")
    fill(copy, b_txt="theirs!", a_txt="theirs")
    ws.bundles.push("x", copy)
    (mine / "c.txt").rename(mine / "d.txt")
    diff = ws.bundles.diff("x", mine)
    assert [(c.path, str(c.state)) for c in diff] == [
        ("a.txt", "conflict"),
        ("b.txt", "changed there"),
        ("d.txt", "new here"),
    ]
    assert diff.conflicts == ["a.txt"]
    assert repr(diff).startswith(
        f"Bundle x (version 2) and {mine}: 1 new here, 1 changed there, 1 conflict.\nfile "
    )
    assert "<table" in diff._repr_html_()
    assert repr(ws.bundles.diff("y", mine)).startswith(f"Bundle y (not pushed yet) and {mine}: 3 new here.")


def test_of_many_files_a_table_shows_the_first_ones_and_the_conflicts(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    mine = fill(tmp_path / "ml", **{f"f{i:03d}_txt": f"{i}" for i in range(120)})
    ws.bundles.push("x", fill(tmp_path / "other", z_txt="theirs"))
    fill(mine, z_txt="mine")
    diff = ws.bundles.diff("x", mine)
    assert (len(diff), len(diff.rows()), diff.conflicts) == (121, 121, ["z.txt"])
    for text in (repr(diff), diff._repr_html_()):
        assert "z.txt" in text
        assert "f060.txt" not in text
        assert "71 more: .rows() has all." in text
    sync = ws.bundles.push("x", mine, prefer="mine")
    assert len(sync) == 121
    assert "71 more" in repr(sync)
    assert "71 more" in sync._repr_html_()


def test_a_file_that_both_sides_changed_is_a_conflict(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine, copy = fill(tmp_path / "ml", a_txt="1", b_txt="2"), tmp_path / "copy"
    ws.bundles.push("x", mine)
    ws.bundles.pull("x", copy)
    fill(copy, a_txt="theirs", c_txt="new")
    ws.bundles.push("x", copy)
    fill(mine, a_txt="mine", d_txt="also new")
    before, stored = contents(mine), objects(ws)
    with pytest.raises(
        ConflictError, match=r"Nothing was moved: a.txt changed both .* prefer='mine' sends"
    ) as raised:
        ws.bundles.push("x", mine)
    assert raised.value.files == ("a.txt",)  # type: ignore[attr-defined]
    with pytest.raises(ConflictError, match=r"prefer='mine' keeps those of the folder"):
        ws.bundles.pull("x", mine)
    assert (contents(mine), objects(ws), ws.bundles.get("x").version) == (before, stored, 2)

    assert list(ws.bundles.pull("x", mine, prefer="mine")) == ["c.txt"]
    assert list(ws.bundles.push("x", mine, prefer="theirs")) == ["d.txt"]
    assert list(ws.bundles.push("x", mine, prefer="mine")) == ["a.txt"]
    assert list(ws.bundles.pull("x", copy)) == ["a.txt", "d.txt"]
    assert contents(copy) == contents(mine)
    with pytest.raises(InvalidInputError, match=r"prefer is 'me', expected 'mine'"):
        ws.bundles.pull("x", mine, prefer="me")  # type: ignore[arg-type]


def test_two_folders_that_never_were_in_step_conflict_where_they_differ(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    ws.bundles.push("x", fill(tmp_path / "one", a_txt="1", b_txt="same"))
    two = fill(tmp_path / "two", a_txt="2", b_txt="same")
    for call in (ws.bundles.push, ws.bundles.pull):
        with pytest.raises(
            ConflictError,
            match=r"a\.txt differs in .*two and in bundle 'x' \(version 1\), which never were in step",
        ):
            call("x", two)
        assert "differs, and the two never were in step: choose" in repr(call("x", two, dry_run=True))
    assert list(ws.bundles.pull("x", tmp_path / "two", prefer="theirs")) == ["a.txt"]


def test_deletions_travel_only_when_said(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine, copy = fill(tmp_path / "ml", a_txt="1", sub__b_txt="2", c_txt="3"), tmp_path / "copy"
    ws.bundles.push("x", mine)
    ws.bundles.pull("x", copy)
    (mine / "sub" / "b.txt").unlink()
    assert list(ws.bundles.push("x", mine)) == []
    assert list(ws.bundles.pull("x", mine)) == ["sub/b.txt"]  # what is missing comes back

    (mine / "sub" / "b.txt").unlink()
    fill(copy, c_txt="changed")
    ws.bundles.push("x", copy)
    (mine / "c.txt").unlink()
    done = ws.bundles.push("x", mine, delete=True)
    assert (list(done), done.removed, done.version) == ([], ["sub/b.txt"], 3)
    assert sorted(ws.bundles.get("x").files) == ["a.txt", "c.txt"]  # c.txt had changed there
    assert list(ws.bundles.pull("x", copy)) == []
    done = ws.bundles.pull("x", copy, delete=True)
    assert done.removed == ["sub/b.txt"]
    assert list((copy / "sub").iterdir()) == []  # as it is in the other folder

    (mine / "sub").rmdir()
    assert ws.bundles.push("x", mine, delete=True).removed == ["sub/"]
    assert ws.bundles.pull("x", copy, delete=True).removed == ["sub/"]
    assert not (copy / "sub").exists()
    assert list(ws.bundles.pull("x@1", copy)) == ["c.txt", "sub/b.txt"]  # every version stays


def executables(folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.rglob("[!.]*") if path.is_file() and path.stat().st_mode & 0o100
    )


def test_whether_a_file_is_executable_travels_and_nothing_else_of_its_mode(
    anywhere: workbench.Workspace, tmp_path: Path
) -> None:
    ws, mine, copy = anywhere, fill(tmp_path / "ml", run_sh="echo", a_txt="1"), tmp_path / "copy"
    (mine / "run.sh").chmod(0o750)
    (mine / "a.txt").chmod(0o600)
    ws.bundles.push("x", mine)
    ws.bundles.pull("x", copy)
    assert executables(copy) == ["run.sh"]
    (copy / "run.sh").chmod(0o700)
    (copy / "a.txt").chmod(0o664)
    assert list(ws.bundles.diff("x", copy)) == []  # another umask is no difference

    (copy / "a.txt").chmod(0o744)
    (copy / "run.sh").chmod(0o600)
    before = (mine / "a.txt").stat()
    said = ws.bundles.push("x", copy, dry_run=True)
    assert [(row["file"], row["here"], row["there"]) for row in said.rows()] == [
        ("a.txt", "1 B, executable", "1 B"),
        ("run.sh", "4 B", "4 B, executable"),
    ]
    assert "2 files (0 B) would move" in repr(said)
    assert ws.bundles.push("x", copy).version == 2
    assert len(objects(ws)) == 2
    assert list(ws.bundles.pull("x", mine)) == ["a.txt", "run.sh"]
    assert executables(mine) == ["a.txt"]
    after = (mine / "a.txt").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # nothing was fetched
    assert list(ws.bundles.diff("x", mine)) == []
    ws.bundles.restore("x@1")
    ws.bundles.pull("x", mine)
    assert executables(mine) == ["run.sh"]
    ws.catalog.clear()
    ws.bundles.reindex()
    ws.bundles.pull("x@2", tmp_path / "again")
    assert executables(tmp_path / "again") == ["a.txt"]


def test_a_mode_that_both_sides_changed_is_a_conflict_and_equal_contents_have_modes_of_their_own(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    mine, copy = fill(tmp_path / "ml", a_sh="same", b_sh="same", c_sh="same"), tmp_path / "copy"
    (mine / "b.sh").chmod(0o755)
    ws.bundles.push("x", mine)
    ws.bundles.pull("x", copy)
    assert executables(copy) == ["b.sh"]
    (mine / "c.sh").chmod(0o755)
    ws.bundles.push("x", mine)
    (copy / "c.sh").write_text("changed")
    with pytest.raises(ConflictError, match=r"c\.sh changed both"):
        ws.bundles.pull("x", copy)
    assert executables(copy) == ["b.sh"]
    ws.bundles.push("x", copy, prefer="mine")
    ws.bundles.pull("x", mine)
    assert executables(mine) == ["b.sh"]


def test_a_mode_that_changes_while_a_folder_is_pushed_stops_it(tmp_path: Path) -> None:
    mine = fill(tmp_path / "ml", a_sh="1")
    local = BundleFolder(mine)
    local.scan(Scope())
    (mine / "a.sh").chmod(0o755)
    with pytest.raises(DamagedError, match=r"a\.sh of .* changed meanwhile"):
        local.check_unchanged(Scope())


def test_bundles_that_know_no_modes_or_folders_go_on(ws: workbench.Workspace, tmp_path: Path) -> None:
    """What was pushed before there were modes: the record and the folder's memory are as they were then."""
    mine, copy = fill(tmp_path / "ml", a_sh="1", b_txt="2"), tmp_path / "copy"
    ws.bundles.push("x", mine)
    record = json.loads(ws.store.get("bundles", "x/1.json"))
    for file in record["files"].values():
        del file["executable"]
    del record["folders"]
    ws.store.put("bundles", "x/1.json", json.dumps(record).encode(), overwrite=True)
    digests = {path: file.digest for path, file in ws.bundles.get("x").files.items()}
    (mine / "a.sh").chmod(0o755)
    (mine / "empty").mkdir()
    never = shutil.copytree(mine, tmp_path / "never", ignore=shutil.ignore_patterns(MEMORY))
    ws.bundles.pull("x", copy)
    assert list(ws.bundles.diff("x", copy)) == []
    assert ws.bundles.diff("x", never).paths(State.CHANGED_HERE, State.NEW_HERE) == ["a.sh", "empty/"]
    assert list(ws.bundles.pull("x", mine)) == []
    assert list(ws.bundles.push("x", mine)) == ["a.sh", "empty/"]
    assert {path: file.digest for path, file in ws.bundles.get("x").files.items()} == digests
    assert list(ws.bundles.pull("x", copy)) == ["a.sh", "empty/"]
    assert executables(copy) == ["a.sh"]


def test_a_disk_without_modes_neither_sends_nor_loses_any(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a disk cannot be mounted here, so its answer to the question is what is given."""
    mine, stick = fill(tmp_path / "ml", a_sh="1", b_txt="2"), tmp_path / "stick"
    (mine / "a.sh").chmod(0o755)
    ws.bundles.push("x", mine)
    ws.bundles.pull("x", stick)
    for path in stick.glob("[!.]*"):
        path.chmod(0o777)
    knows = BundleFolder.knows_modes
    monkeypatch.setattr(BundleFolder, "knows_modes", lambda self: self.path != stick and knows(self))
    assert list(ws.bundles.diff("x", stick)) == []
    fill(stick, a_sh="1 and more", b_txt="2 and more")
    assert list(ws.bundles.push("x", stick)) == ["a.sh", "b.txt"]
    assert list(ws.bundles.pull("x", mine)) == ["a.sh", "b.txt"]
    assert executables(mine) == ["a.sh"]


def test_empty_folders_travel_and_are_part_of_the_diff(anywhere: workbench.Workspace, tmp_path: Path) -> None:
    ws, mine, copy = anywhere, fill(tmp_path / "ml", a_txt="1", full__b_txt="2"), tmp_path / "copy"
    for name in ("logs/today", "data", "pkg/__pycache__", "kept", ".hidden/x"):
        (mine / name).mkdir(parents=True)
    (mine / "kept" / ".gitkeep").touch()
    said = ws.bundles.push("x", mine, dry_run=True)
    assert list(said) == ["a.txt", "data/", "full/b.txt", "kept/", "logs/today/", "pkg/"]
    assert said.rows()[1] == {
        "file": "data/",
        "state": "new here",
        "here": "empty folder",
        "there": "",
        "done": "would be sent",
    }
    assert "2 files (2 B) and 4 empty folders would move" in repr(said)
    ws.bundles.push("x", mine)
    assert (sorted(ws.bundles.get("x").files), ws.bundles.get("x").folders) == (
        ["a.txt", "full/b.txt"],
        ("data", "kept", "logs/today", "pkg"),
    )
    ws.bundles.pull("x", copy)
    assert sorted(p.name for p in copy.rglob("[!.]*") if p.is_dir()) == [
        "data",
        "full",
        "kept",
        "logs",
        "pkg",
        "today",
    ]
    assert list(ws.bundles.diff("x", copy)) == []

    fill(copy, data__c_txt="3")  # no longer empty; a folder that got a file is no deletion
    (copy / "kept").rmdir()
    assert list(ws.bundles.push("x", copy)) == ["data/c.txt"]
    assert ws.bundles.get("x").folders == ("kept", "logs/today", "pkg")
    assert list(ws.bundles.pull("x", mine, "data")) == ["data/c.txt"]
    assert ws.bundles.push("x", copy, delete=True).removed == ["kept/"]
    assert ws.bundles.pull("x", mine, delete=True).removed == ["kept/"]
    assert (mine / "kept" / ".gitkeep").exists()  # what is no part of a bundle is not touched
    assert list(ws.bundles.push("x", mine, exclude=["kept/", "logs/"])) == []


def test_a_folder_that_has_become_empty_is_one_on_both_sides(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine, copy = fill(tmp_path / "ml", a_txt="1", logs__b_txt="2"), tmp_path / "copy"
    ws.bundles.push("x", mine)
    ws.bundles.pull("x", copy)
    (mine / "logs" / "b.txt").unlink()
    assert ws.bundles.push("x", mine, delete=True).removed == ["logs/b.txt"]
    assert ws.bundles.get("x").folders == ("logs",)
    assert ws.bundles.pull("x", copy, delete=True).removed == ["logs/b.txt"]
    assert (copy / "logs").is_dir()
    for folder in (mine, copy):
        assert list(ws.bundles.diff("x", folder)) == []
    assert list(ws.bundles.push("x", copy)) == []


def test_a_file_where_the_bundle_has_an_empty_folder_is_left_alone(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    mine = fill(tmp_path / "ml", a_txt="1")
    (mine / "logs").mkdir()
    ws.bundles.push("x", mine)
    other = fill(tmp_path / "other", a_txt="1")
    (other / "logs").write_text("a file")
    with pytest.raises(InvalidInputError, match=r"logs is a file where the bundle has a folder"):
        ws.bundles.pull("x", other)
    with pytest.raises(InvalidInputError, match=r"'logs' would be a file and"):
        ws.bundles.push("x", other)
    assert (other / "logs").read_text() == "a file"


def test_several_writers_merge_and_no_version_is_lost(tmp_path: Path) -> None:
    """Four processes push five times each into one bundle, each its own files."""
    code = """
import sys, pathlib, workbench
ws = workbench.open(sys.argv[1]); folder = pathlib.Path(sys.argv[2]); folder.mkdir()
for i in range(5):
    (folder / f"{folder.name}-{i}.txt").write_text(f"{folder.name} {i}")
    assert len(ws.bundles.push("x", folder)) == 1
"""
    workbench.open(tmp_path / "ws").close()
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "ws"), str(tmp_path / f"w{n}")])
        for n in range(4)
    ]
    assert [worker.wait() for worker in workers] == [0, 0, 0, 0]
    with workbench.open(tmp_path / "ws") as ws:
        assert sorted(b.version for b in ws.bundles.versions("x")) == list(range(1, 21))
        assert sorted(ws.bundles.get("x").files) == sorted(
            f"w{n}-{i}.txt" for n in range(4) for i in range(5)
        )


@pytest.mark.s3
@pytest.mark.postgres
def test_several_machines_write_to_one_bundle_on_s3(s3: Any, pg_url: str, tmp_path: Path) -> None:
    """Three processes, which share nothing but S3 and PostgreSQL."""
    code = """
import json, sys, pathlib, workbench
url, catalog, options, place = sys.argv[1:]
ws = workbench.open(url, catalog=catalog, storage_options=json.loads(options)); folder = pathlib.Path(place); folder.mkdir()
for i in range(3):
    (folder / f"{folder.name}-{i}.txt").write_text(f"{folder.name} {i}")
    assert len(ws.bundles.push("x", folder)) == 1
"""
    url, options = s3.new_url(), s3.storage_options
    with workbench.open(url, catalog=pg_url, storage_options=options) as ws:
        ws.catalog.clear()
        call = [sys.executable, "-c", code, url, pg_url, json.dumps(options)]
        workers = [subprocess.Popen([*call, str(tmp_path / f"w{n}")]) for n in range(3)]
        assert [worker.wait() for worker in workers] == [0, 0, 0]
        assert sorted(b.version for b in ws.bundles.versions("x")) == list(range(1, 10))
        assert len(ws.bundles.pull("x", tmp_path / "all")) == 9
        assert ws.bundles.verify("x").record.count == 9


def test_a_conflict_that_arises_while_pushing_is_found(ws: workbench.Workspace, tmp_path: Path) -> None:
    one, two = fill(tmp_path / "one", a_txt="0"), tmp_path / "two"
    ws.bundles.push("x", one)
    ws.bundles.pull("x", two)
    errors = []

    def push(folder: Path) -> None:
        barrier.wait()
        try:
            ws.bundles.push("x", folder)
        except ConflictError as error:
            errors.append(error)

    for i in range(1, 6):
        barrier = threading.Barrier(2)
        fill(one, a_txt=f"one {i}")
        fill(two, a_txt=f"two {i}")
        threads = [threading.Thread(target=push, args=(folder,)) for folder in (one, two)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert (len(errors), ws.bundles.get("x").version) == (i, i + 1)
        for folder in (one, two):
            ws.bundles.pull("x", folder, prefer="theirs")


def test_what_is_not_changed_is_not_read_again(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine = fill(tmp_path / "ml", a_txt="one")
    os.utime(mine / "a.txt", ns=(10**18, 10**18))
    ws.bundles.push("x", mine)
    assert "a.txt" in (mine / MEMORY).read_text()
    (mine / "a.txt").write_text("two")  # as long, in the same inode
    os.utime(mine / "a.txt", ns=(10**18, 10**18))
    assert list(ws.bundles.push("x", mine)) == []
    assert list(ws.bundles.push("x", mine, rehash=True)) == ["a.txt"]
    (mine / MEMORY).write_text("{damaged")
    assert list(ws.bundles.push("x", mine)) == []


def push_often(ws: workbench.Workspace, folder: Path) -> None:
    for _ in range(200):
        fill(folder, b_txt=os.urandom(50_000).hex())
        ws.bundles.push("x", folder)


def test_a_folder_that_changes_while_it_is_pushed_makes_no_version(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    mine = fill(tmp_path / "ml", a_txt="1", b_txt="2" * 100_000)
    ws.bundles.push("x", mine)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (mine / "log.txt").write_text(str(number) * 1000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(DamagedError, match=r"log.txt of .* changed meanwhile"):
            push_often(ws, mine)
    finally:
        stop.set()
        writer.join()
    known = ws.bundles.get("x").version
    assert list(ws.bundles.push("x", mine))[-1] == "log.txt"
    assert ws.bundles.get("x").version == known + 1


def test_a_tampered_object_is_not_pulled_and_can_be_mended(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine, copy = fill(tmp_path / "ml", a_txt="one", b_txt="two"), tmp_path / "copy"
    ws.bundles.push("x", mine)
    fill(copy, a_txt="one")
    digest = ws.bundles.get("x").files["b.txt"].digest
    ws.store.put("bundle-files", digest, b"TWO")
    for call in (ws.bundles.pull, lambda name, _: ws.bundles.verify(name)):
        with pytest.raises(DamagedError, match=r"content of b.txt is not what was pushed: .*rehash=True"):
            call("x", copy)
    assert contents(copy) == {"a.txt": "one"}
    assert (list(ws.bundles.push("x", mine, rehash=True)), ws.bundles.get("x").version) == ([], 1)
    assert list(ws.bundles.pull("x", copy)) == ["b.txt"]
    ws.store.delete("bundle-files", [digest])
    with pytest.raises(DamagedError, match=r"content of b.txt is gone"):
        ws.bundles.pull("x", tmp_path / "other")
    ws.bundles.push("x", mine, rehash=True)
    ws.bundles.verify("x")


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".*"))


def test_what_a_killed_pull_has_left_is_used_once_and_goes_with_the_next_one(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    """Whole contents, and one that was cut, as a kill leaves them."""
    mine, copy = fill(tmp_path / "ml", a_txt="one", b_txt="two"), tmp_path / "copy"
    ws.bundles.push("x", mine)
    files = ws.bundles.get("x").files
    whole, cut = files["a.txt"].digest, files["b.txt"].digest
    incoming = copy / ".workbench-incoming"
    fill(incoming, **{whole: "one", f"{cut}_0123": "t"})
    ws.store.delete("bundle-files", [whole])
    assert list(ws.bundles.pull("x", copy)) == ["a.txt", "b.txt"]
    assert (contents(copy), hidden(copy)) == ({"a.txt": "one", "b.txt": "two"}, [MEMORY])
    fill(incoming, **{f"{cut}_0123": "t"})
    assert list(ws.bundles.pull("x", copy)) == []
    assert hidden(copy) == [MEMORY]


def test_a_pull_that_is_refused_leaves_nothing_behind(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine, copy = fill(tmp_path / "ml", a_txt="one", b_txt="two"), tmp_path / "new" / "copy"
    ws.bundles.push("x", mine)
    ws.store.put("bundle-files", ws.bundles.get("x").files["b.txt"].digest, b"TWO")
    with pytest.raises(DamagedError, match=r"content of b\.txt"):
        ws.bundles.pull("x", copy)
    assert not copy.parent.exists()
    fill(copy, c_txt="mine")
    with pytest.raises(DamagedError, match=r"content of b\.txt"):
        ws.bundles.pull("x", copy)
    assert (contents(copy), hidden(copy)) == ({"c.txt": "mine"}, [])


def test_pulls_into_one_folder_take_turns(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine = fill(tmp_path / "ml", **{f"f{i}_txt": f"{i}" for i in range(30)})
    ws.bundles.push("x", mine)
    for attempt in range(5):
        copy, start = tmp_path / f"copy{attempt}", threading.Barrier(3)

        def pull(copy: Path = copy, start: threading.Barrier = start) -> int:
            start.wait()
            return len(ws.bundles.pull("x", copy))

        with ThreadPoolExecutor(3) as pool:
            pulls = [pool.submit(pull) for _ in range(3)]
        assert sorted(done.result() for done in pulls) == [0, 0, 30]
        assert (contents(copy), hidden(copy)) == (contents(mine), [MEMORY])


def test_a_file_that_changes_while_a_bundle_is_pulled_is_not_replaced(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    ws.bundles.push("x", fill(tmp_path / "ml", a_txt="theirs"))
    copy = tmp_path / "copy"
    local = BundleFolder(fill(copy, a_txt="mine"))
    local.scan(Scope())
    fill(copy, a_txt="mine, and more")
    with pytest.raises(DamagedError, match=r"a\.txt of .* changed meanwhile, so no file was replaced"):
        fetch(ws.store, local, ws.bundles.get("x").files)
    assert (contents(copy), hidden(copy)) == ({"a.txt": "mine, and more"}, [])


@pytest.mark.parametrize("victim", ["push", "pull"])
def test_a_kill_leaves_the_old_state_or_the_new_one(tmp_path: Path, victim: str) -> None:
    mine, copy = tmp_path / "ml", tmp_path / "copy"
    for i in range(40):
        fill(mine, **{f"f{i}_bin": f"{i} " * 200_000})
    code = f"import workbench, sys; workbench.open(sys.argv[1]).bundles.{victim}('x', sys.argv[2])"
    with workbench.open(tmp_path / "ws") as ws:
        if victim == "pull":
            ws.bundles.push("x", mine)
            fill(copy, f0_bin="0 " * 200_000)
    target = mine if victim == "push" else copy
    for attempt in range(6):
        worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "ws"), str(target)])
        time.sleep(0.5 + 0.07 * attempt)
        worker.kill()
        worker.wait()
        with workbench.open(tmp_path / "ws") as ws:
            for bundle in ws.bundles.list():  # what is visible is whole
                assert bundle.version == 1
                ws.bundles.verify("x")
            for path, text in contents(copy).items() if copy.exists() else ():
                assert text == (mine / path).read_text()
    with workbench.open(tmp_path / "ws") as ws:
        (ws.bundles.push if victim == "push" else ws.bundles.pull)("x", target)
        ws.bundles.pull("x", copy)
        assert contents(copy) == contents(mine)
        assert ws.bundles.get("x").version == 1
        assert not (target / ".workbench-incoming").exists()


def test_links_that_lead_outside_are_refused(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine = fill(tmp_path / "ml", a_txt="1")
    secret = fill(tmp_path / "elsewhere", secret_txt="s")
    (mine / "link.txt").symlink_to(secret / "secret.txt")
    with pytest.raises(InvalidInputError, match=r"link.txt is a link that leads out of the folder"):
        ws.bundles.push("x", mine)
    assert list(ws.bundles.push("x", mine, exclude="link.txt")) == ["a.txt"]
    (mine / "link.txt").unlink()
    (mine / "inside.txt").symlink_to("a.txt")
    assert list(ws.bundles.push("x", mine)) == ["inside.txt"]
    (mine / "folder").symlink_to(secret)
    with pytest.raises(InvalidInputError, match=r"leads out"):
        ws.bundles.push("x", mine)
    (mine / "folder").unlink()
    (mine / "round").symlink_to(".")
    with pytest.raises(InvalidInputError, match=r"which is no file"):
        ws.bundles.push("x", mine)
    (mine / "round").unlink()
    os.mkfifo(mine / "pipe")
    with pytest.raises(InvalidInputError, match=r"pipe is neither a file nor a folder"):
        ws.bundles.push("x", mine)


def test_a_pull_never_writes_outside_of_its_folder(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine = fill(tmp_path / "ml", data__a_txt="1", b_txt="2")
    ws.bundles.push("x", mine)
    outside = tmp_path / "outside"
    outside.mkdir()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "data").symlink_to(outside)
    with pytest.raises(InvalidInputError, match=r"leads out"):
        ws.bundles.pull("x", copy, include="data/a.txt")  # the link itself is not among these
    with pytest.raises(InvalidInputError, match=r"leads out"):
        ws.bundles.pull("x", copy)
    assert list(outside.iterdir()) == []

    key = "x/1.json"
    for bad in ("../evil.txt", "/etc/evil.txt", "a/../../evil.txt", ".hidden"):
        text = ws.store.get("bundles", key).decode().replace('"b.txt"', f'"{bad}"')
        with workbench.open(tmp_path / "tampered") as other:
            other.store.put("bundles", key, text)
            other.reindex()
            with pytest.raises(InvalidNameError, match=r"File name .*tampered with. Nothing was fetched"):
                other.bundles.pull("x", tmp_path / "there")
    assert not (tmp_path / "evil.txt").exists()


def test_a_file_in_the_place_of_a_folder_is_refused(ws: workbench.Workspace, tmp_path: Path) -> None:
    ws.bundles.push("x", fill(tmp_path / "ml", a__b_txt="1"))
    with pytest.raises(InvalidInputError, match=r"'a' would be a file and, for 'a/b.txt', a folder"):
        ws.bundles.push("x", fill(tmp_path / "other", a="file"))
    with pytest.raises(InvalidInputError, match=r"is a file where the bundle has a folder"):
        ws.bundles.pull("x", tmp_path / "other")
    assert ws.bundles.get("x").version == 1


def test_a_file_that_became_a_folder_and_a_folder_that_became_a_file_travel_with_delete(
    anywhere: workbench.Workspace, tmp_path: Path
) -> None:
    ws, mine, copy = (
        anywhere,
        fill(tmp_path / "ml", x="file", y__a__b_txt="1", y__c_txt="2"),
        tmp_path / "copy",
    )
    (mine / "y" / "empty").mkdir()
    (mine / "z").write_text("to be an empty folder")
    ws.bundles.push("b", mine)
    ws.bundles.pull("b", copy)
    for name in ("x", "z"):
        (mine / name).unlink()
    shutil.rmtree(mine / "y")
    fill(mine, x__deep__a_txt="3", y="file now")
    (mine / "z").mkdir()
    sent = ws.bundles.push("b", mine, delete=True)
    assert list(sent) == ["x/deep/a.txt", "y", "z/"]

    with pytest.raises(InvalidInputError, match=r"is a file where the bundle has a folder\. .*delete=True"):
        ws.bundles.pull("b", copy)
    other = shutil.copytree(copy, tmp_path / "other")
    fill(other, y__new_txt="mine")
    with pytest.raises(
        InvalidInputError, match=r"y is a folder, with y/new\.txt in it, where the bundle has a f"
    ):
        ws.bundles.pull("b", other, delete=True)
    assert sorted(contents(other)) == ["x", "y/a/b.txt", "y/c.txt", "y/new.txt", "z"]

    assert list(ws.bundles.pull("b", copy, delete=True)) == ["x/deep/a.txt", "y", "z/"]
    assert contents(copy) == contents(mine) == {"x/deep/a.txt": "3", "y": "file now"}
    assert (copy / "z").is_dir()
    assert list(ws.bundles.diff("b", copy)) == []
    assert list(ws.bundles.pull("b@1", copy, delete=True)) == ["x", "y/a/b.txt", "y/c.txt", "y/empty/", "z"]
    assert contents(copy)["x"] == "file"


def test_bad_names_and_places_are_refused(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine = fill(tmp_path / "insects", a_txt="1")
    with pytest.raises(InvalidNameError, match=r"Bundle name 'a/b'"):
        ws.bundles.push("a/b", mine)
    with pytest.raises(NotFoundError, match=r"There is no folder .*insect. Did you mean 'insects'"):
        ws.bundles.push("x", tmp_path / "insect")
    with pytest.raises(InvalidInputError, match=r"is a file, and a bundle is a folder"):
        ws.bundles.push("x", mine / "a.txt")
    for place in (ws.url, tmp_path):
        with pytest.raises(InvalidInputError, match=r"lie in each other"):
            ws.bundles.push("x", place)
    with pytest.raises(NotFoundError, match=r"There is no bundle 'x'. There are none yet"):
        ws.bundles.pull("x", mine)
    ws.bundles.push("insects", mine)
    with pytest.raises(NotFoundError, match=r"Did you mean 'insects'"):
        ws.bundles.get("insect")
    with pytest.raises(NotFoundError, match=r"has no version 3. It has: 1"):
        ws.bundles.pull("insects@3", mine)
    with pytest.raises(InvalidInputError, match=r"names no version"):
        ws.bundles.get("insects@newest")
    (mine / "new\nline.txt").write_text("2")
    with pytest.raises(
        InvalidNameError, match=r"control character\. Rename the file, or leave it out with ex"
    ):
        ws.bundles.push("insects", mine)
    (mine / "new\nline.txt").rename(mine / "back\\slash.txt")
    with pytest.raises(InvalidNameError, match=r"has a backslash\. Rename the file, or leave it out with ex"):
        ws.bundles.push("insects", mine)
    assert list(ws.bundles.push("insects", mine, exclude="back*")) == []
    (mine / "back\\slash.txt").unlink()
    (Path(os.fsencode(mine).decode()) / os.fsdecode(b"caf\xe9.txt")).write_text("3")
    with pytest.raises(InvalidNameError, match=r"is not UTF-8"):
        ws.bundles.push("insects", mine)


def test_deleting_keeps_what_other_versions_need(anywhere: workbench.Workspace, tmp_path: Path) -> None:
    ws, mine = anywhere, fill(tmp_path / "ml", a_txt="shared", b_txt="first")
    ws.bundles.push("x", mine)
    fill(mine, b_txt="second")
    ws.bundles.push("x", mine)
    ws.bundles.push("y", fill(tmp_path / "other", c_txt="shared"))
    assert len(objects(ws)) == 3
    assert ws.bundles.delete("x@1") == 1
    assert len(objects(ws)) == 2
    assert list(ws.bundles.pull("x", tmp_path / "copy")) == ["a.txt", "b.txt"]
    assert ws.bundles.delete("x") == 1
    assert len(objects(ws)) == 1
    with pytest.raises(NotFoundError):
        ws.bundles.get("x")
    assert ws.bundles.push("x", mine).version == 3  # no version is given twice
    before = [b.record for b in ws.bundles.list()]
    assert ws.reindex()["bundles"] == 2
    assert [b.record for b in ws.bundles.list()] == before
    assert ws.bundles.delete("y") == 1
    assert len(objects(ws)) == 2


def test_an_older_version_is_restored_without_a_transfer(
    anywhere: workbench.Workspace, tmp_path: Path
) -> None:
    ws, mine = anywhere, fill(tmp_path / "ml", a_txt="good", b_txt="also")
    ws.bundles.push("x", mine)
    fill(mine, a_txt="bad")
    (mine / "b.txt").unlink()
    ws.bundles.push("x", mine, delete=True)
    stored = objects(ws)
    made = ws.bundles.restore("x@1")
    assert (made.version, made.record.message, objects(ws)) == (3, "version 1 again", stored)
    assert list(ws.bundles.pull("x", mine)) == ["a.txt", "b.txt"]
    assert contents(mine) == {"a.txt": "good", "b.txt": "also"}
    ws.bundles.delete("x@1")
    ws.bundles.verify("x")
    for ref, problem in {
        "x": "Which version of 'x'",
        "x@7": "has no version 7",
        "y@1": "There is no bundle 'y'",
    }.items():
        with pytest.raises((InvalidInputError, NotFoundError), match=problem):
            ws.bundles.restore(ref)
    assert ws.bundles.get("x").version == 3


def test_a_bundle_in_memory_is_like_any_other(memory_url: str, tmp_path: Path) -> None:
    with workbench.open(memory_url) as ws:
        mine = ml_folder(tmp_path / "ml")
        assert len(ws.bundles.push("x", mine)) == 5
        assert len(ws.bundles.pull("x", tmp_path / "copy")) == 5
        assert ws.bundles.restore("x@1").version == 2
        assert ws.bundles.delete("x") == 2
        assert objects(ws) == []


def test_a_damaged_record_is_passed_over_by_a_reindex(ws: workbench.Workspace, tmp_path: Path) -> None:
    mine = fill(tmp_path / "ml", a_txt="1")
    ws.bundles.push("x", mine)
    fill(mine, a_txt="2")
    ws.bundles.push("x", mine)
    ws.store.put("bundles", "x/2.json", b"{")
    with pytest.raises(DamagedError, match=r"x/2\.json is gone or damaged"):
        ws.bundles.pull("x", tmp_path / "copy")
    with pytest.warns(UserWarning, match=r"bundles/x/2\.json is damaged and was passed over"):
        assert ws.reindex()["bundles"] == 1
    assert list(ws.bundles.pull("x", tmp_path / "copy")) == ["a.txt"]


def test_a_folder_that_cannot_be_written_is_pushed_and_remembers_nothing(
    ws: workbench.Workspace, small_disk: Path
) -> None:
    fill(small_disk, a_txt="1")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert list(ws.bundles.push("x", small_disk)) == ["a.txt"]
    assert list(ws.bundles.push("x", small_disk)) == []
    assert list(ws.bundles.pull("x", small_disk)) == []
    assert not (small_disk / MEMORY).exists()


def test_a_workspace_that_cannot_be_written_gives_and_does_not_take(small_disk: Path, tmp_path: Path) -> None:
    mine = fill(tmp_path / "ml", a_txt="1")
    with workbench.open(small_disk / "ws") as ws:
        ws.bundles.push("x", mine)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with workbench.open(small_disk / "ws") as ws:
        assert list(ws.bundles.pull("x", tmp_path / "copy")) == ["a.txt"]
        assert list(ws.bundles.push("x", mine)) == []
        fill(mine, a_txt="2")
        for call in (lambda: ws.bundles.push("x", mine), lambda: ws.bundles.delete("x")):
            with pytest.raises(ReadOnlyError):
                call()
        assert ws.bundles.get("x").version == 1


def test_places_that_take_nothing_say_so(small_disk: Path, tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        mine = tmp_path / "ml"
        fill(mine, big_bin="x" * 6_000_000, small_txt="1")
        ws.bundles.push("x", mine)
        fill(small_disk, small_txt="1")
        with pytest.raises(StorageFullError, match=r"could not be written"):
            ws.bundles.pull("x", small_disk)
        assert contents(small_disk) == {"small.txt": "1"}
    if os.geteuid() != 0:
        (tmp_path / "ro").mkdir(mode=0o500)
        with workbench.open(tmp_path / "ws") as ws, pytest.raises(ReadOnlyError):
            ws.bundles.pull("x", tmp_path / "ro")


def test_a_moved_workspace_and_a_moved_folder_stay_in_step(tmp_path: Path) -> None:
    mine = fill(tmp_path / "ml", a_txt="1")
    with workbench.open(tmp_path / "ws") as ws:
        ws.bundles.push("x", mine)
    shutil.move(tmp_path / "ws", tmp_path / "moved")
    shutil.move(mine, tmp_path / "elsewhere")
    fill(tmp_path / "elsewhere", a_txt="2")
    with workbench.open(tmp_path / "moved") as ws:
        assert list(ws.bundles.push("x", tmp_path / "elsewhere")) == ["a.txt"]
