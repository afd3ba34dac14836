"""RO-Crates read back: all of it or nothing, and only what we have written."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from algorithm_folders import GAIN, write_algorithm
from click.testing import CliRunner

import workbench
from workbench.cli import main
from workbench.errors import ConflictError, DamagedError, NotFoundError, UnsupportedError

METADATA = "ro-crate-metadata.json"
KEPT = ("objects", "datasets", "runs", "environments")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:rocrate")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a workspace with two runs, one after the other, and the folder and zip of their lineage."""
    folder = tmp_path_factory.mktemp("crates")
    with workbench.open(folder / "from") as ws:
        ws.algorithms.deploy(write_algorithm(folder / "invert", extra=GAIN), check=False)
        picture = np.arange(16, dtype=np.float32).reshape(4, 4)
        scan = ws.datasets.put({"image": picture}, schema="ImageSchema", name="scan", tags=["raw"])
        first = ws.run("invert", scan, {"gain": 2.0}, reuse="auto")
        second = ws.run("invert", first.datasets[0])
        lineage = second.datasets[0].lineage()
        lineage.export(folder / "crate")
        lineage.export(folder / "crate.zip")
        yield ws, folder, scan, first, second


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    url: Any = tmp_path / "to"
    options: dict[str, Any] = {}
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        url, options = s3.new_url(), {"storage_options": s3.storage_options}
    with workbench.open(url, **options) as found:
        yield found


def contents(ws: workbench.Workspace) -> list[str]:
    return [f"{name}/{info.key}" for name in KEPT for info in ws.store.list(name)]


@pytest.mark.parametrize("name", ["crate", "crate.zip"])
def test_datasets_and_runs_come_back_with_their_lineage(
    made: Any, ws: workbench.Workspace, name: str
) -> None:
    source, folder, scan, first, second = made
    found = ws.import_crate(folder / name, dry_run=True)
    assert (len(found.datasets), len(found.runs), contents(ws)) == (3, 2, [])
    found = ws.import_crate(folder / name)
    assert set(found.runs) == {first.id, second.id}
    assert "1 revisions of algorithms are not here" in repr(found)

    np.testing.assert_array_equal(ws.datasets.get("scan")["image"], source.datasets.get(scan)["image"])
    assert ws.datasets.find(scan.id).record == scan.record
    run = ws.runs.get(second.id)
    assert (run.record.parameters, str(run.log)) == (second.record.parameters, str(second.log))
    np.testing.assert_array_equal(run.result(), second.result())
    assert ws.runs.get(first.id).record.reuse_key == ""
    theirs = second.datasets[0].lineage()
    mine = ws.datasets.find(second.outputs[0].id).lineage()
    assert (mine.nodes.keys(), set(mine.edges)) == (theirs.nodes.keys(), set(theirs.edges))
    assert [dataset.id for dataset in ws.datasets.list(tag="raw")] == [scan.id]

    before = contents(ws)
    again = ws.import_crate(folder / name)
    assert (list(again.datasets), list(again.runs), contents(ws)) == ([], [], before)
    ws.reindex()
    assert ws.datasets.find(scan.id).record == scan.record
    assert ws.runs.get(second.id).record == run.record


def test_a_crate_of_runs_that_are_here_changes_nothing(made: Any) -> None:
    source, folder, _, first, _ = made
    before = contents(source)
    found = source.import_crate(folder / "crate.zip")
    assert (list(found.datasets), list(found.runs), contents(source)) == ([], [], before)
    assert source.runs.get(first.id).record.reuse_key


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def forge(crate: Path, name: str, change: Callable[[Path], None]) -> None:
    """Change a file and its checksum, as somebody would who knows how."""
    change(crate / name)
    described = json.loads((crate / METADATA).read_text())
    for entity in described["@graph"]:
        if entity["@id"] == name:
            content = (crate / name).read_bytes()
            entity |= {"sha256": hashlib.sha256(content).hexdigest(), "contentSize": str(len(content))}
    (crate / METADATA).write_text(json.dumps(described))


def change_array(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["image"][0, 0] = 99


def rename(path: Path) -> None:
    path.write_text(path.read_text().replace(path.stem, "0" * 20))


WRONG: dict[str, tuple[Callable[[Path, Any, Any], Any], str]] = {
    "array": (lambda c, d, r: append(c / f"datasets/{d}.h5"), r"datasets/\w+\.h5 is not what it was"),
    "forged array": (
        lambda c, d, r: forge(c, f"datasets/{d}.h5", change_array),
        r"datasets/\w+\.h5 is not what its record says",
    ),
    "no array": (lambda c, d, r: (c / f"datasets/{d}.h5").unlink(), r"datasets/\w+\.h5 is not in it"),
    "run": (lambda c, d, r: append(c / f"runs/{r}.json"), r"runs/\w+\.json is not what it was"),
    "no run": (lambda c, d, r: (c / f"runs/{r}.json").unlink(), r"runs/\w+\.json is not in it"),
    "log": (lambda c, d, r: append(c / f"runs/{r}.log"), r"runs/\w+\.log is not what it was"),
    "forged id": (
        lambda c, d, r: forge(c, f"runs/{r}.json", rename),
        r"runs/\w+\.json holds the record of .0000",
    ),
    "forged text": (
        lambda c, d, r: forge(c, f"runs/{r}.json", lambda p: p.write_text("{}")),
        r"runs/\w+\.json is no record",
    ),
    "environment": (
        lambda c, d, r: forge(
            c, next(f"environments/{p.name}" for p in (c / "environments").iterdir()), append_key
        ),
        "environments/.* has another digest",
    ),
}


def append_key(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "python": "2.7"}))


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("as_zip", [False, True])
def test_what_was_tampered_with_is_refused_and_nothing_is_done(
    made: Any, tmp_path: Path, how: str, as_zip: bool
) -> None:
    _, folder, _, first, second = made
    crate = shutil.copytree(folder / "crate", tmp_path / "crate")
    change, match = WRONG[how]
    change(crate, second.outputs[0].id, first.id)
    if as_zip:
        crate = Path(shutil.make_archive(str(tmp_path / "changed"), "zip", crate))
    with workbench.open(tmp_path / "to") as ws:
        with pytest.raises(DamagedError, match=f"tampered with: {match}.*Nothing was imported"):
            ws.import_crate(crate)
        assert contents(ws) == []
        assert (len(ws.runs.list()), len(ws.datasets.list())) == (0, 0)
        left = [p for p in (tmp_path / "to").rglob("*") if p.is_file() and p.stat().st_size > 16]
        assert [p for p in left if p.parent.name in KEPT] == []


def test_a_link_out_of_the_crate_and_a_zip_that_is_cut_off_are_refused(made: Any, tmp_path: Path) -> None:
    _, folder, _, first, _ = made
    crate = shutil.copytree(folder / "crate", tmp_path / "crate")
    log = crate / f"runs/{first.id}.log"
    log.replace(tmp_path / "log")
    log.symlink_to(tmp_path / "log")
    cut = tmp_path / "cut.zip"
    cut.write_bytes((folder / "crate.zip").read_bytes()[:-3000])
    with workbench.open(tmp_path / "to") as ws:
        with pytest.raises(DamagedError, match=r"runs/\w+\.log is not in it"):
            ws.import_crate(crate)
        with pytest.raises(UnsupportedError, match="it is cut off"):
            ws.import_crate(cut)
        assert contents(ws) == []


def test_crates_of_others_are_refused_with_their_reason(made: Any, tmp_path: Path) -> None:
    _, folder, *_ = made
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "data.csv").write_text("1,2")
    graph = [{"@id": "./", "@type": "Dataset"}, {"@id": "data.csv", "@type": "File"}]
    (foreign / METADATA).write_text(json.dumps({"@graph": graph}))
    (tmp_path / "empty").mkdir()
    plain = tmp_path / "plain.zip"
    with zipfile.ZipFile(plain, "w") as file:
        file.writestr("a.txt", "a")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / METADATA).write_text("[1")
    old = shutil.copytree(folder / "crate", tmp_path / "old")
    described = json.loads((old / METADATA).read_text())
    for entity in described["@graph"]:
        entity.pop("sha256", None)
    (old / METADATA).write_text(json.dumps(described))
    with workbench.open(tmp_path / "to") as ws:
        for path, match in [
            (foreign, "is an RO-Crate of something else.*ws.datasets.import_file"),
            (tmp_path / "empty", f"is no RO-Crate: it has no {METADATA}"),
            (plain, f"is no RO-Crate: it has no {METADATA}"),
            (tmp_path / "broken", f"its {METADATA} cannot be read"),
            (old, "has no checksum of .*Export it again"),
        ]:
            with pytest.raises(UnsupportedError, match=match):
                ws.import_crate(path)
        with pytest.raises(NotFoundError, match="There is no crate"):
            ws.import_crate(tmp_path / "nowhere.zip")
        assert contents(ws) == []


def test_an_id_that_is_here_with_other_content_is_a_conflict(made: Any, tmp_path: Path) -> None:
    _, folder, scan, first, _ = made
    with workbench.open(tmp_path / "to") as ws:
        ws.catalog.put_runs([first.record.model_copy(update={"parameters": {"gain": 7.0}})])
        with pytest.raises(ConflictError, match=f"run {first.id} is here with other facts"):
            ws.import_crate(folder / "crate")
        ws.catalog.clear()
        ws.catalog.put_datasets([scan.record.model_copy(update={"digest": "0" * 64})])
        with pytest.raises(ConflictError, match=f"dataset {scan.id} is here with other facts"):
            ws.import_crate(folder / "crate")
        assert contents(ws) == []


def test_the_command_line_brings_crates(made: Any, tmp_path: Path) -> None:
    _, folder, _, first, _ = made

    def call(*words: str) -> Any:
        return CliRunner().invoke(main, ["-w", str(tmp_path / "to"), *words])

    assert "would be imported" in call("import", str(folder / "crate"), "--dry-run").output
    assert "imported" in call("import", str(folder / "crate.zip")).output
    assert first.id in call("jobs").output
    refused = call("import", str(folder / "crate.zip"), "--name", "x")
    assert refused.exit_code == 1
    assert "Leave the options out" in refused.output


@pytest.mark.parametrize("collection", ["datasets", "runs"])
def test_an_import_that_was_killed_is_finished_by_the_next_one(
    made: Any, tmp_path: Path, collection: str
) -> None:
    code = """
import os, signal, sys, workbench
ws = workbench.open(sys.argv[1])
real = ws.store.put
def put(collection, *args, **options):
    found = real(collection, *args, **options)
    if collection == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
ws.store.put = put
ws.import_crate(sys.argv[2])
"""
    _, folder, _, first, second = made
    command = [sys.executable, "-c", code, str(tmp_path / "to"), str(folder / "crate.zip"), collection]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    with workbench.open(tmp_path / "to") as ws:
        ws.import_crate(folder / "crate.zip")
        np.testing.assert_array_equal(ws.runs.get(second.id).result(), second.result())
        assert len(ws.datasets.list()) == 3
        assert str(ws.runs.get(first.id).log) == str(first.log)
