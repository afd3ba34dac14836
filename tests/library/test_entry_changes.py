"""What becomes of entries: by reference and moved about, promoted, removed, restored, purged."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import workbench
from workbench.errors import (
    AlreadyExistsError,
    DamagedError,
    InUseError,
    InvalidDataError,
    InvalidInputError,
    NotFoundError,
    StorageError,
)
from workbench.library.entry_versions import VersionChange
from workbench.models import RunRecord, now
from workbench.names import new_id


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "project" / "ws") as found:
        yield found


def hdf5(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["inputs"] = np.full((4, 3), seed, np.float32)
    return path


def state(ws: workbench.Workspace) -> Any:
    """Return all that a failure must leave as it was."""
    files = {i.key: ws.store.get("entries", i.key) for i in ws.store.list("entries")}
    shown = [e.record for t in (False, True) for e in ws.entries.list(trashed=t, limit=100)]
    return files, shown, sorted(i.key for i in ws.store.list("files"))


def test_files_by_reference_are_found_in_a_moved_project(tmp_path: Path) -> None:
    near, far = hdf5(tmp_path / "project" / "raw" / "a.h5"), hdf5(tmp_path / "far" / "b.h5")
    with workbench.open(tmp_path / "project" / "ws") as ws:
        entries = [ws.entries.add("eos", path, copy=False)[0] for path in (near, far)]
        assert [e.record.path for e in entries] == ["../raw/a.h5", str(far)]
        assert [e.path for e in entries] == [near, far]
    shutil.move(tmp_path / "project", tmp_path / "elsewhere")
    with workbench.open(tmp_path / "elsewhere" / "ws") as ws:
        moved, stayed = ws.entries.list(order="created")
        assert (moved.path, stayed.path) == (tmp_path / "elsewhere" / "raw" / "a.h5", far)
        moved.verify()
        with moved.open() as opened, h5py.File(opened, "r") as file:
            assert file["inputs"].shape == (4, 3)


@pytest.mark.parametrize("copy", [True, False])
def test_a_file_that_was_changed_or_is_gone_is_refused_with_its_reason(
    ws: workbench.Workspace, tmp_path: Path, copy: bool
) -> None:
    (entry,) = ws.entries.add("eos", hdf5(tmp_path / "a.h5"), copy=copy)
    entry.verify()
    entry.path.chmod(0o644)  # copies are read-only
    with entry.path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    with pytest.raises(
        DamagedError, match=r"eos/data@1/a.h5 is not what was added.*expected " + entry.digest[:16]
    ):
        entry.verify()
    entry.path.unlink()
    for use in (entry.verify, entry.open):
        with pytest.raises(DamagedError, match="is gone"):
            use()
    ws.entries.remove(entry)  # a file that is gone can be unregistered
    ws.entries.purge(entry)
    assert len(ws.entries.list(trashed=True)) == 0


def test_a_promotion_keeps_version_metadata_and_id_and_is_remembered(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    ws.entries.add("eos", hdf5(tmp_path / "a.h5"), "candidates")
    (entry,) = ws.entries.add("eos", hdf5(tmp_path / "b.h5", 1), "candidates", metadata={"score": 0.5})
    before = state(ws)
    (shown,) = ws.entries.move(entry, "data", dry_run=True)
    assert (shown.kind, state(ws)) == ("data", before)
    (moved,) = ws.entries.move("eos/candidates@2", "data")
    assert (moved.id, moved.kind, moved.version, moved.metadata) == (entry.id, "data", 2, {"score": 0.5})
    assert [(p.kind, p.version) for p in moved.promotions] == [("candidates", 2)]
    assert ws.entries.versions("eos", "candidates") == [1]
    assert [e.id for e in ws.entries.search("score > 0.1", "eos", "data")] == [entry.id]
    assert (ws.entries.next_version("eos", "candidates"), ws.entries.next_version("eos")) == (3, 3)
    with pytest.raises(InvalidInputError, match="is there already"):
        ws.entries.move(moved, "data")
    ws.reindex()
    assert ws.entries.find(entry.id) == moved
    assert ws.entries.next_version("eos", "candidates") == 3
    (back,) = ws.entries.move(moved, "candidates")
    assert [p.kind for p in back.promotions] == ["candidates", "data"]


def test_a_promotion_moves_files_by_reference_last(ws: workbench.Workspace, tmp_path: Path) -> None:
    (entry,) = ws.entries.add("eos", hdf5(tmp_path / "new" / "a.h5"), "candidates", copy=False)
    old = entry.path
    (moved,) = ws.entries.move(entry, "data", folder=tmp_path / "good")
    assert moved.path == tmp_path / "good" / "a.h5"
    assert moved.path.exists()
    assert not old.exists()
    assert moved.promotions[0].path == entry.record.path
    (other,) = ws.entries.add("eos", hdf5(tmp_path / "new" / "a.h5", 1), "candidates", copy=False)
    before = state(ws)
    with pytest.raises(AlreadyExistsError, match="which is not replaced"):
        ws.entries.move(other, "data", folder=tmp_path / "good")
    moved.verify()
    assert state(ws) == before


def test_a_promotion_that_fails_leaves_everything_as_it_was(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hdf5(tmp_path / "new" / "a.h5")
    (entry,) = ws.entries.add("eos", path, "candidates", copy=False)
    ws.entries.add("eos", path, "data")
    before = state(ws)
    with pytest.raises(AlreadyExistsError, match=r"eos/data version 1 has a file 'a.h5'"):
        ws.entries.move(entry, "data", folder=tmp_path / "good")
    assert (state(ws), (tmp_path / "good").exists(), path.exists()) == (before, False, True)
    written, write = [], VersionChange.write

    def fail_second(self: VersionChange, *args: Any) -> None:
        if written:
            raise StorageError("the disk is gone")
        written.append(args)
        write(self, *args)

    monkeypatch.setattr(VersionChange, "write", fail_second)
    with pytest.raises(StorageError, match="the disk is gone"):
        ws.entries.move(entry, domain="gas", folder=tmp_path / "good")
    assert (state(ws), (tmp_path / "good").exists(), path.exists()) == (before, False, True)


def test_a_file_that_another_entry_has_is_not_deleted_when_one_is_moved(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    path = hdf5(tmp_path / "new" / "a.h5")
    (first,), (second,) = (ws.entries.add("eos", path, copy=False) for _ in range(2))
    (theirs,) = ws.entries.of("solver").add("eos", path, copy=False)
    (moved,) = ws.entries.move("eos/data@1", folder=tmp_path / "arch")
    assert (moved.path, path.exists()) == (tmp_path / "arch" / "a.h5", True)
    second.verify()
    (back,) = ws.entries.move_back(moved)
    assert (back.path, moved.path.exists()) == (path, False)
    ws.entries.remove(second)  # it can be restored
    ws.entries.move(first, folder=tmp_path / "arch")
    ws.entries.purge(second)
    ws.entries.of("solver").purge(theirs)
    assert path.exists()
    ws.entries.move_back(first)
    both = [first, *ws.entries.add("eos", path, copy=False)]
    assert [e.path for e in ws.entries.move(both, folder=tmp_path / "arch")] == [moved.path] * 2
    assert (moved.path.exists(), path.exists()) == (True, False)


def test_a_catalog_of_before_knows_who_has_a_file_by_reference(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5")
    with workbench.open(tmp_path / "ws") as ws:
        first, second = (ws.entries.add("eos", path, copy=False)[0] for _ in range(2))
    with closing(sqlite3.connect(tmp_path / "ws" / "catalog.sqlite")) as old, old:
        old.execute("UPDATE entries SET file = ''")
        for column in ("size", "created"):
            old.execute(f"DROP INDEX ix_entries_{column}")
            old.execute(f"ALTER TABLE entries DROP COLUMN {column}")
        old.execute("UPDATE catalog_version SET version_num = '0010'")
    with workbench.open(tmp_path / "ws") as ws:
        ws.entries.move(first.id, folder=tmp_path / "arch")
        ws.entries.find(second.id).verify()


def test_an_original_that_cannot_be_deleted_leaves_everything_as_it_was(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [hdf5(tmp_path / "new" / f"{i}.h5", i) for i in range(2)]
    entries = ws.entries.add("eos", paths, "candidates", copy=False)
    unlink = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:  # as chattr +i does, which needs root
        if self == paths[1]:
            raise PermissionError(1, "Operation not permitted", str(self))
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(
        StorageError, match=r"1.h5 cannot be deleted \(Operation not permitted\).*nothing was moved"
    ):
        ws.entries.move(entries, "data", folder=tmp_path / "good")
    # but for the number of the version, which counts as given, and the time of the last change
    kept = [e.record.model_copy(update={"changed": None}) for e in ws.entries.list(order="created")]
    assert (kept, (tmp_path / "good").exists()) == ([e.record for e in entries], False)
    ws.reindex()
    assert [e.ref for e in ws.entries.list(order="created")] == [e.ref for e in entries]
    before = state(ws)
    for entry in entries:
        entry.verify()
    with pytest.raises(InvalidInputError, match="which is a file"):
        ws.entries.move(entries, "data", folder=paths[0])
    with pytest.raises(StorageError, match="nothing was"):
        ws.entries.move(entries, "data", folder=paths[0] / "below")
    paths[1].write_bytes(b"changed")
    (tmp_path / "half").mkdir()
    with pytest.raises(DamagedError):
        ws.entries.move(entries, "data", folder=tmp_path / "half" / "made" / "deep")
    assert list((tmp_path / "half").iterdir()) == []
    assert state(ws) == before


def test_what_becomes_a_model_must_be_one(ws: workbench.Workspace, tmp_path: Path) -> None:
    (entry,) = ws.entries.add("eos", hdf5(tmp_path / "a.h5"), "candidates", metadata={"val_error": "big"})
    net = tmp_path / "net.safetensors"
    net.write_bytes((2).to_bytes(8, "little") + b"{}")
    (model,) = ws.entries.add("eos", net, "models", metadata={"val_error": 0.1})
    before = state(ws)
    for dry_run in (True, False):
        with pytest.raises(InvalidInputError, match="val_error is 'big', expected a number"):
            ws.entries.move(entry, "models", dry_run=dry_run)
        with pytest.raises(InvalidDataError, match=r"eos/models@1/net.safetensors is not HDF5"):
            ws.entries.move(model, "data", dry_run=dry_run)
    assert state(ws) == before
    assert ws.entries.move(model, "data", check=False)[0].kind == "data"


def test_a_version_that_is_there_is_joined_only_where_it_is_said(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    ws.entries.add("eos", [hdf5(tmp_path / f"{i}.h5", i) for i in range(2)])
    (entry,) = ws.entries.add("eos", hdf5(tmp_path / "new.h5", 3), "candidates")
    for dry_run in (True, False):
        with pytest.raises(
            AlreadyExistsError, match=r"data version 1 is there, with 2 files. Join it with extend"
        ):
            ws.entries.move(entry, "data", dry_run=dry_run)
    ws.entries.move(entry, "data", extend=True)
    assert len(ws.entries.list("eos", "data", version=1)) == 3
    ws.entries.move_back(entry)
    ws.entries.move(entry, "data", version=2)
    ws.entries.add("eos", hdf5(tmp_path / "new.h5", 4), "candidates")
    with pytest.raises(AlreadyExistsError, match=r"has a file 'new\.h5' already"):
        ws.entries.move("eos/candidates", "data", version=2, extend=True, dry_run=True)


def test_a_preview_refuses_what_the_move_would(ws: workbench.Workspace, tmp_path: Path) -> None:
    (entry,) = ws.entries.add("eos", hdf5(tmp_path / "new" / "c.h5"), "candidates", copy=False)
    (copy,) = ws.entries.add("eos", hdf5(tmp_path / "d.h5", 1), "candidates")
    hdf5(tmp_path / "good" / "c.h5", 2)
    with pytest.raises(AlreadyExistsError, match="which is not replaced"):
        ws.entries.move(entry, "data", folder=tmp_path / "good", dry_run=True)
    with pytest.raises(InvalidInputError, match="is a copy in the workspace"):
        ws.entries.move(copy, "data", folder=tmp_path / "good")
    (same,) = ws.entries.add("eos", hdf5(tmp_path / "other" / "c.h5", 5), "candidates", copy=False)
    with pytest.raises(AlreadyExistsError, match=r"Two files would become .*better/c\.h5"):
        ws.entries.move([entry, same], "data", folder=tmp_path / "better", dry_run=True)
    old = entry.path
    (moved,) = ws.entries.move(entry, "data", folder=tmp_path / "better")
    hdf5(old, 7)  # something else has its place
    with pytest.raises(AlreadyExistsError, match="which is not replaced"):
        ws.entries.move_back(moved)
    old.unlink()
    ws.entries.move_back(moved)
    entry.path.unlink()
    with pytest.raises(DamagedError, match="is gone"):
        ws.entries.move(entry, "data", folder=tmp_path / "better", dry_run=True)


def test_a_version_stands_for_all_its_files(ws: workbench.Workspace, tmp_path: Path) -> None:
    files = [hdf5(tmp_path / f"{i}.h5", i) for i in range(3)]
    added = ws.entries.add("eos", files, "candidates")
    assert ws.entries.find_all("eos/candidates@1") == added
    assert [e.version for e in ws.entries.move("eos/candidates@1", version=5)] == [5, 5, 5]
    ws.entries.move("eos/candidates", "data")
    ws.entries.remove("eos/data@5")
    with pytest.raises(
        NotFoundError, match=r"'eos/data@5'. It is in the trash: ws.entries.restore\('eos/data@5'\)"
    ):
        ws.entries.remove("eos/data@5")
    with pytest.raises(AlreadyExistsError, match=r"has a version 5 in the trash"):
        ws.entries.add("eos", files[0], version=5)
    assert len(ws.entries.restore("eos/data@5")) == 3
    ws.entries.remove("eos/data@5/1.h5")
    ws.entries.purge("eos/data@5/1.h5")
    ws.entries.purge("eos/data@5")
    assert (len(ws.entries.list(trashed=True)), len(ws.entries.list())) == (0, 0)


def test_nothing_found_changes_nothing_and_a_page_is_no_half_of_a_search(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    path = hdf5(tmp_path / "a.h5")
    for i in range(4):
        ws.entries.add("eos", path, metadata={"i": i})
    assert ws.entries.remove(ws.entries.search("i > 10")) == []
    with pytest.raises(InvalidInputError, match=r"first 3 entries of more. Take all with .all\(\)"):
        ws.entries.remove(ws.entries.search("i >= 0", limit=3))
    assert len(ws.entries.remove(ws.entries.search("i >= 0", limit=3).all())) == 4
    for wrong in (None, 5, [None]):
        with pytest.raises(InvalidInputError, match="eos/"):
            ws.entries.move(wrong, "data")  # type: ignore[arg-type]


def test_references_are_found_however_the_workspace_is_reached(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "deep" / "project" / "raw" / "a.h5")
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "project" / "ws")
    with workbench.open(tmp_path / "deep" / "project" / "ws"):
        pass
    with workbench.open(tmp_path / "link") as ws:
        (entry,) = ws.entries.add("eos", path, copy=False)
        entry.verify()
        assert entry.record.path == "../raw/a.h5"
    shutil.move(tmp_path / "deep", tmp_path / "other")
    with workbench.open(tmp_path / "other" / "project" / "ws") as ws:
        ws.entries.find("eos/data").verify()


def test_what_is_removed_can_be_restored(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5")
    for i in range(4):
        ws.entries.add("eos", path, metadata={"i": i})
    ws.entries.remove(ws.entries.search("i >= 2", "eos", version=[3, 4]))
    assert (ws.entries.versions("eos"), len(ws.entries.search("i > 0"))) == ([1, 2], 1)
    assert ws.entries.find("eos/data").version == 2
    assert [e.version for e in ws.entries.list(trashed=True)] == [4, 3]
    ws.reindex()
    ws.entries.restore(ws.entries.list(trashed=True))
    assert (ws.entries.versions("eos"), len(ws.entries.search("i > 0"))) == ([1, 2, 3, 4], 3)


def test_purging_deletes_a_copy_with_its_last_entry_and_gives_no_version_twice(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    path = hdf5(tmp_path / "a.h5")
    (first,), (second,) = ws.entries.add("eos", path), ws.entries.add("eos", path)
    ws.entries.purge(second)
    assert first.path.exists()
    ws.entries.remove(first)
    ws.entries.purge(first)
    assert not list(ws.store.list("files"))
    with pytest.raises(NotFoundError):
        ws.entries.restore(first)
    ws.reindex()
    assert ws.entries.add("eos", path)[0].version == 3
    assert path.exists()


def test_purging_what_others_were_made_from_is_refused(ws: workbench.Workspace, tmp_path: Path) -> None:
    (data,) = ws.entries.add("eos", hdf5(tmp_path / "a.h5"))
    weights = tmp_path / "net.pt"
    weights.write_bytes(b"w")
    model = ws.entries.add_model("eos", weights, val_error=0.1, parents=[data], check=False)
    assert model.parents == (data.id,)
    ws.entries.remove(data)
    with pytest.raises(
        InUseError, match=rf"needed by entry eos/models@1/net.pt \({model.id}\).*force=True"
    ) as caught:
        ws.entries.purge(data)
    assert caught.value.users == (model.id,)
    ws.entries.purge([data, model])
    assert len(ws.entries.list()) == 0


def test_purging_what_a_run_read_or_something_else_names_is_refused(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    (data,) = ws.entries.add("eos", hdf5(tmp_path / "a.h5"))
    run = RunRecord(id=new_id(), algorithm="fit@1.0", algorithm_name="fit", inputs=(data.id,), created=now())
    ws.catalog.put_run(run)
    with pytest.raises(InUseError, match=rf"needed by run fit@1.0 \({run.id}\)") as caught:
        ws.entries.purge(data)
    assert caught.value.users == (run.id,)
    ws.catalog.delete_runs([run.id])
    ws.entries.referrers["a link"] = lambda id_: ["link-1"] if id_ == data.id else []
    with pytest.raises(InUseError, match=r"needed by a link link-1"):
        ws.entries.of("workspace").purge(data.id)
    assert ws.entries.find(data.id).path.exists()  # nothing has changed
    ws.entries.purge(data, force=True)
    assert len(ws.entries.list()) == 0


def test_an_entry_knows_what_it_was_made_from_and_what_was_made_from_it(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    sampled = ws.entries.add("eos", [hdf5(tmp_path / f"s{i}.h5", seed=i) for i in range(2)], "candidates")
    dataset = ws.datasets.put({"x": np.zeros(2)}, name="scan")
    gone = ws.datasets.put({"x": np.ones(2)})
    (data,) = ws.entries.add("eos", hdf5(tmp_path / "d.h5", seed=3), parents=[*sampled, dataset, gone])
    ws.datasets.delete(gone.id, force=True)
    weights = tmp_path / "net.pt"
    weights.write_bytes(b"w")
    model = ws.entries.add_model("eos", weights, val_error=0.1, parents=[data, sampled[0]], check=False)
    ws.entries.remove(sampled[1])
    rows = [(row["step"], row["entry"], row["note"]) for row in model.lineage()]
    assert rows == [
        (-2, "eos/candidates@1/s1.h5", "in the trash"),
        (-2, "dataset scan", ""),
        (-2, "", "no entry, or purged"),
        (-1, "eos/data@1/d.h5", ""),
        (-1, "eos/candidates@1/s0.h5", ""),
        (0, "eos/models@1/net.pt", ""),
    ]
    assert [row["step"] for row in sampled[0].lineage()] == [0, 1, 1]
    assert [row["step"] for row in model.lineage(generations=1)] == [-1, -1, 0]
    with pytest.raises(InvalidInputError, match="generations is 0"):
        data.lineage(0)


MOVER = """
import os, sys, workbench
from workbench.library.entry_versions import VersionChange

url, id, kind, last = sys.argv[1:]
written, write = [], VersionChange.write
def write_and_die(change, *given):
    write(change, *given)
    written.append(given)
    if len(written) == int(last):
        os._exit(9)
VersionChange.write = write_and_die
with workbench.open(url) as ws:
    ws.entries.move(id, kind)
"""


@pytest.mark.parametrize("files", [1, 2])  # where it goes, and where it was
@pytest.mark.parametrize("then", ["move", "remove", "restore", "purge", "nothing", "again"])
def test_what_is_done_after_a_move_was_killed_holds_after_a_reindex(
    ws: workbench.Workspace, tmp_path: Path, files: int, then: str
) -> None:
    killed, other = (ws.entries.add("eos", hdf5(tmp_path / f"{n}.h5", n), "candidates")[0] for n in range(2))
    command = [sys.executable, "-c", MOVER, ws.url, killed.id, "data", str(files)]
    assert subprocess.run(command, check=False).returncode == 9
    assert ws.entries.find(killed.id).ref == "eos/candidates@1/0.h5"
    if then == "move":
        ws.entries.move(killed.id, domain="gas")
    elif then == "again":
        ws.entries.move(killed.id, "data")
    elif then in ("remove", "restore"):
        ws.entries.remove(killed.id)
        if then == "restore":
            ws.entries.restore(killed.id)
    elif then == "purge":
        ws.entries.purge(killed.id)

    def shown() -> Any:
        return {(e.id, e.ref) for trashed in (False, True) for e in ws.entries.list(trashed=trashed)}

    before = shown()
    ws.reindex()
    if then == "nothing":  # a move that nobody was told of is done or not, and the entry is there once
        before -= {(killed.id, "eos/candidates@1/0.h5")}
        before |= {(killed.id, "eos/data@1/0.h5")}
    assert shown() == before
    assert (other.id, "eos/candidates@2/1.h5") in before


def test_what_a_killed_move_has_left_is_no_version_for_another_file(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    killed = ws.entries.add("eos", hdf5(tmp_path / "a.h5"), "candidates")[0]
    command = [sys.executable, "-c", MOVER, ws.url, killed.id, "data", "2"]
    assert subprocess.run(command, check=False).returncode == 9
    added = ws.entries.add("eos", hdf5(tmp_path / "b.h5", 1))[0]
    before = {(e.id, e.ref) for e in ws.entries.list()}
    assert before == {(killed.id, "eos/data@1/a.h5"), (added.id, "eos/data@2/b.h5")}  # the move is finished
    assert ws.reindex()["entries"] == 2
    assert {(e.id, e.ref) for e in ws.entries.list()} == before


def test_adding_a_file_again_mends_its_damaged_copy(ws: workbench.Workspace, tmp_path: Path) -> None:
    small, large = hdf5(tmp_path / "a.h5"), tmp_path / "large.h5"
    large.write_bytes(small.read_bytes() + bytes(2 << 20))
    for path in (small, large):
        (first,) = ws.entries.add("eos", path)
        assert not first.path.stat().st_mode & 0o222  # nobody writes to it by accident
        first.path.chmod(0o644)
        first.path.write_bytes(b"!" * path.stat().st_size)
        with pytest.raises(DamagedError, match="is not what was added"):
            first.export(tmp_path / "out.h5")
        assert not (tmp_path / "out.h5").exists()
        (second,) = ws.entries.add("eos", path)
        second.verify()
        first.verify()
        assert first.export(tmp_path / f"{path.name}.out").read_bytes() == path.read_bytes()
    with pytest.raises(NotFoundError, match=r"There is no folder .*nowhere"):
        first.export(tmp_path / "nowhere" / "a.h5")


def test_what_was_refused_leaves_no_copy(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws.entries.add("eos", hdf5(tmp_path / "a.h5"), version=1)
    before = state(ws)
    with pytest.raises(AlreadyExistsError, match="has a version 1"):
        ws.entries.add("eos", hdf5(tmp_path / "b.h5", 1), version=1)
    assert state(ws) == before

    def fail(self: VersionChange, *args: Any) -> None:
        raise StorageError("the disk is gone")

    monkeypatch.setattr(VersionChange, "write", fail)
    for name, seed in (("a.h5", 0), ("c.h5", 2)):  # one that an entry has stays
        with pytest.raises(StorageError, match="the disk is gone"):
            ws.entries.add("eos", hdf5(tmp_path / name, seed))
    assert state(ws) == before
