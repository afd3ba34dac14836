"""Export and import: an algorithm with its revisions, runs and arrays as one file."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algorithm_folders import GAIN, INVERT, write_algorithm
from blake3 import blake3
from click.testing import CliRunner

import workbench
from workbench.cli import main
from workbench.errors import (
    AlreadyExistsError,
    ConflictError,
    DamagedError,
    InvalidAlgorithmError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    UnsupportedError,
)

TABLE = {"weights/table.npy": b"0123456789" * 100}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[workbench.Workspace]:
    """Give a workspace with two revisions of an algorithm, a run of each, and an alias."""
    with workbench.open(tmp_path / "here") as ws:
        folder = write_algorithm(tmp_path / "invert", extra=GAIN, files=TABLE)
        ws.algorithms.deploy(folder)
        scan = ws.datasets.put(
            {"image": np.arange(16, dtype=np.float32).reshape(4, 4)}, "ImageSchema", "scan"
        )
        ws.run("invert", scan, {"gain": 2.0})
        write_algorithm(
            folder, code=INVERT.replace("data.max() - data", "data.max() - data + 1"), extra=GAIN, files=TABLE
        )
        ws.algorithms.deploy(folder)
        ws.run("invert", scan)
        ws.algorithms.alias("invert@1.0", "stable")
        yield ws


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    url: Any = tmp_path / "there"
    options: dict[str, Any] = {}
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        url, options = s3.new_url(), {"storage_options": s3.storage_options}
    with workbench.open(url, **options) as ws:
        yield ws


def keys(ws: workbench.Workspace) -> dict[str, list[str]]:
    return {name: [info.key for info in ws.store.list(name)] for name in ws.store.list_collections()}


def test_an_algorithm_travels_with_its_revisions_and_runs(
    here: workbench.Workspace, there: workbench.Workspace, tmp_path: Path
) -> None:
    path = here.algorithms.get("invert").export(tmp_path / "invert.wbalg", data=True)
    would = there.algorithms.import_file(path, dry_run=True)
    assert (would.algorithm, len(would.revisions), len(would.runs), len(would.datasets)) == (None, 2, 2, 3)
    assert there.algorithms.names() == []
    done = there.algorithms.import_file(path)
    assert [r.id for r in there.algorithms.revisions("invert@1.0")] == [
        r.id for r in here.algorithms.revisions("invert@1.0")
    ]
    assert done.algorithm == there.algorithms.get("invert@stable")
    for mine, theirs in zip(
        here.algorithms.revisions("invert"), there.algorithms.revisions("invert"), strict=True
    ):
        old, new = mine.revision, theirs.revision
        assert new.model_dump(exclude={"verdict"}) == old.model_dump(exclude={"verdict"})
        assert new.verdict is not None
        assert new.verdict.ok
        assert there.algorithms.sources(new) == here.algorithms.sources(old)
        assert theirs.asset("weights/table.npy") == TABLE["weights/table.npy"]
    for run in here.runs.list():
        copy = there.runs.get(run.id)
        assert (copy.status, copy.record.parameters, str(copy.log)) == (
            "COMPLETED",
            run.record.parameters,
            str(run.log),
        )
        np.testing.assert_array_equal(copy.result(), run.result())
        assert len(copy.lineage().nodes) == len(run.lineage().nodes)
        assert there.runs.replay(run.id).is_identical
    found = there.find_run("invert", "scan")
    assert found is not None
    assert found.id not in {run.id for run in here.runs.list()}  # what others computed stands for nothing


def test_importing_twice_changes_nothing(
    here: workbench.Workspace, there: workbench.Workspace, tmp_path: Path
) -> None:
    path = here.algorithms.export("invert", tmp_path / "a.wbalg", data=True)
    there.algorithms.import_file(path)
    before = keys(there)
    again = there.algorithms.import_file(path)
    assert (again.revisions, again.runs, again.datasets) == ([], [], [])
    assert keys(there) == before
    counts = there.reindex()
    assert (counts["algorithms"], counts["runs"], counts["datasets"]) == (2, 2, 3)
    mine = keys(here)
    assert here.algorithms.import_file(path).revisions == []
    assert keys(here) == mine


def test_without_data_or_lineage_less_travels(
    here: workbench.Workspace, there: workbench.Workspace, tmp_path: Path
) -> None:
    oldest = list(here.algorithms.revisions("invert"))[-1]
    alone = here.algorithms.export(oldest.id, tmp_path / "one.wbalg", lineage=False)
    done = there.algorithms.import_file(alone)
    assert (done.revisions, done.runs) == ([oldest.id], [])
    done = there.algorithms.import_file(here.algorithms.export("invert@1", tmp_path / "all.wbalg"))
    assert (len(done.revisions), len(done.runs), done.datasets) == (1, 2, [])
    assert "3 datasets of its runs are elsewhere" in repr(done)
    assert len(there.datasets.list()) == 0
    mine = here.runs.list()[0].lineage()
    told = there.runs.get(mine.id).lineage()
    assert (list(told.nodes), told.edges) == (list(mine.nodes), mine.edges)
    assert {n.label for n in told.nodes.values()} == {"scan (elsewhere)", "invert@1.0", "image (elsewhere)"}
    assert "scan (elsewhere)" in told._repr_html_()
    there.reindex()
    assert there.runs.get(mine.id).lineage().nodes == told.nodes
    there.algorithms.import_file(here.algorithms.export("invert@1", tmp_path / "data.wbalg", data=True))
    assert "elsewhere" not in repr(there.runs.get(mine.id).lineage())


def test_an_alias_that_is_here_stays(here: workbench.Workspace, tmp_path: Path) -> None:
    with workbench.open(tmp_path / "there") as there:
        mine = there.algorithms.deploy(write_algorithm(tmp_path / "v2", version="2.0"), check=False)
        mine_id = mine.id
        there.algorithms.alias("invert@2.0", "stable")
        done = there.algorithms.import_file(here.algorithms.export("invert@1.0", tmp_path / "a.wbalg"))
        assert there.algorithms.get("invert@stable").id == mine_id
        assert "stay as they are: stable" in repr(done)


def test_the_gate_is_passed_before_anything_is_stored(here: workbench.Workspace, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"import pathlib; pathlib.Path({str(marker)!r}).write_text('ran'); raise RuntimeError('not today')"
    bad = write_algorithm(tmp_path / "bad", "bad", code=f"{code}\nclass Runner: pass\n")
    here.algorithms.deploy(bad, check=False)
    path = here.algorithms.export("bad", tmp_path / "bad.wbalg")
    with workbench.open(tmp_path / "there") as there:
        before = keys(there)
        there.algorithms.import_file(path, dry_run=True)
        assert not marker.exists()  # looking executes nothing
        with pytest.raises(InvalidAlgorithmError, match="not today"):
            there.algorithms.import_file(path)
        assert keys(there) == before
        marker.unlink()
        done = there.algorithms.import_file(path, check=False)
        assert not marker.exists()
        assert done.algorithm is not None
        assert done.algorithm.revision.verdict is None


def forge(path: Path, target: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> Path:
    """Copy an archive with other content, and a manifest that fits it."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
        kinds = {info.filename: info.compress_type for info in file.infolist()}
    manifest = json.loads(parts.pop("manifest.json"))
    change(parts, manifest)
    manifest["parts"] = {
        name: {"digest": blake3(content).hexdigest(), "size": len(content)} for name, content in parts.items()
    }
    with zipfile.ZipFile(target, "w") as out:
        for name, content in {**parts, "manifest.json": json.dumps(manifest).encode()}.items():
            out.writestr(name, content, kinds.get(name, zipfile.ZIP_STORED))
    return target


def evil_code(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("Runner.py", "print('evil')")
    name = f"packages/{manifest['revisions'][0]['package']}.zip"
    parts[name] = buffer.getvalue()


def evil_path(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("../../evil.py", "print('evil')")
    value = blake3(buffer.getvalue()).hexdigest()
    parts.pop(f"packages/{manifest['revisions'][0]['package']}.zip")
    manifest["revisions"] = manifest["revisions"][:1]
    manifest["revisions"][0]["package"] = value
    for name in [n for n in parts if n.startswith(("packages", "runs", "datasets"))]:
        parts.pop(name)
    parts[f"packages/{value}.zip"] = buffer.getvalue()


def evil_asset(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    for revision in manifest["revisions"]:
        revision["assets"]["../evil.txt"] = revision["assets"].pop("weights/table.npy")


def other_parameters(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    for revision in manifest["revisions"]:
        revision["parameters"] = []
        revision["type"] = "Generic"


def other_name(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["name"] = "denoise"
    for revision in manifest["revisions"]:
        revision["name"] = "denoise"


def stranger(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    parts["../../evil.py"] = b"print('evil')"


def bomb(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    parts[next(name for name in parts if name.endswith(".log"))] = b"0" * (300 << 20)


def foreign_run(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    name = next(name for name in parts if name.startswith("runs/") and name.endswith(".json"))
    record = json.loads(parts[name])
    parts[name] = json.dumps({**record, "revision": "0" * 20}).encode()


def other_arrays(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    name = next(name for name in parts if name.startswith("objects/"))
    content = bytearray(parts[name])
    content[-1] ^= 1
    parts[name] = bytes(content)


def no_asset(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    parts.pop(next(name for name in parts if name.startswith("assets/")))


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        (evil_code, DamagedError, "the package of invert@1.0 is no package"),
        (evil_path, InvalidNameError, "could leave"),
        (evil_asset, InvalidNameError, "could leave"),
        (other_name, DamagedError, "its files do not make denoise@1.0"),
        (stranger, DamagedError, "has no place in it"),
        (bomb, DamagedError, "at most 256 are read"),
        (foreign_run, DamagedError, "of no revision in it"),
        (other_arrays, DamagedError, "damaged"),
        (no_asset, DamagedError, "is not in it"),
    ],
)
def test_forged_files_bring_nothing(
    here: workbench.Workspace,
    tmp_path: Path,
    change: Callable[[dict[str, bytes], dict[str, Any]], None],
    error: type[Exception],
    problem: str,
) -> None:
    path = here.algorithms.export("invert", tmp_path / "a.wbalg", data=True)
    forged = forge(path, tmp_path / "forged.wbalg", change)
    with workbench.open(tmp_path / "there") as there:
        before = keys(there)
        with pytest.raises(error, match=problem):
            there.algorithms.import_file(forged)
        after = keys(there)
        after["objects"] = before["objects"]  # contents that nothing names may stay
        assert after == before
        assert there.algorithms.names() == []
    assert not list(tmp_path.rglob("evil*"))


def test_what_a_file_says_of_its_code_is_not_believed(here: workbench.Workspace, tmp_path: Path) -> None:
    path = here.algorithms.export("invert", tmp_path / "a.wbalg")
    forged = forge(path, tmp_path / "forged.wbalg", other_parameters)
    with workbench.open(tmp_path / "there") as there:
        algorithm = there.algorithms.import_file(forged).algorithm
        assert algorithm is not None
        assert (algorithm.parameters.names, str(algorithm.type)) == (("gain",), "Image2Image")


def test_an_id_with_other_content_is_a_conflict(here: workbench.Workspace, tmp_path: Path) -> None:
    path = here.algorithms.export("invert", tmp_path / "a.wbalg")

    def swap(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
        one, two = manifest["revisions"]
        one["id"], two["id"] = two["id"], one["id"]

    def better(parts: dict[str, bytes], manifest: dict[str, Any]) -> None:
        name = next(name for name in parts if name.startswith("runs/") and name.endswith(".json"))
        record = json.loads(parts[name])
        parts[name] = json.dumps({**record, "parameters": {"gain": 9.0}}).encode()

    before = keys(here)
    for change, what in (
        (swap, "revision .* is here as invert@1.0 with other package"),
        (better, "run .* is here with"),
    ):
        with pytest.raises(ConflictError, match=what):
            here.algorithms.import_file(forge(path, tmp_path / "forged.wbalg", change))
    assert keys(here) == before


def test_damaged_and_foreign_files_are_refused(here: workbench.Workspace, tmp_path: Path) -> None:
    path = here.algorithms.export("invert", tmp_path / "a.wbalg", data=True)
    whole = path.read_bytes()
    target = tmp_path / "b.wbalg"
    with workbench.open(tmp_path / "there") as there:
        for at in (200, len(whole) // 2):
            target.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(DamagedError):
                there.algorithms.import_file(target)
        for content in (whole[: len(whole) // 2], b"not a zip"):
            target.write_bytes(content)
            with pytest.raises(UnsupportedError, match="it is cut off"):
                there.algorithms.import_file(target)
        with zipfile.ZipFile(target, "w") as file:
            file.writestr("assets/" + "0" * 64, "hello")
        with pytest.raises(UnsupportedError, match=r"it has no manifest\.json"):
            there.algorithms.import_file(target)
        newer = forge(path, target, lambda parts, manifest: manifest.update(format=2))
        with pytest.raises(UnsupportedError, match="of format 2, expected"):
            there.algorithms.import_file(newer)
        with pytest.raises(NotFoundError, match="There is no file"):
            there.algorithms.import_file(tmp_path / "absent.wbalg")
        assert there.algorithms.names() == []


def test_exports_refuse_what_would_be_wrong(here: workbench.Workspace, tmp_path: Path) -> None:
    invert = here.algorithms.get("invert")
    with pytest.raises(InvalidInputError, match=r"exported to a file \.wbalg"):
        invert.export(tmp_path / "a.zip")
    with pytest.raises(NotFoundError, match="There is no folder"):
        invert.export(tmp_path / "absent" / "a.wbalg")
    path = invert.export(tmp_path / "a.wbalg")
    with pytest.raises(AlreadyExistsError, match="overwrite=True"):
        invert.export(path)
    invert.export(path, overwrite=True)
    with pytest.raises(InvalidAlgorithmError, match=r"import_file\("):
        here.algorithms.deploy(path)
    with pytest.raises(NotFoundError, match="Did you mean 'invert'"):
        here.algorithms.export("invret", tmp_path / "b.wbalg")
    here.store.put("assets", invert.revision.assets["weights/table.npy"], b"tampered")
    with pytest.raises(DamagedError, match="is damaged in"):
        invert.export(tmp_path / "c.wbalg")
    assert sorted(p.name for p in tmp_path.iterdir() if "wbalg" in p.name) == ["a.wbalg"]


def test_an_import_that_is_killed_is_completed_by_the_next(here: workbench.Workspace, tmp_path: Path) -> None:
    path = here.algorithms.export("invert", tmp_path / "a.wbalg", data=True)
    code = "import sys, workbench; workbench.open(sys.argv[1]).algorithms.import_file(sys.argv[2])"
    workbench.open(tmp_path / "there").close()
    for attempt in range(5):
        worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "there"), str(path)])
        time.sleep(1.0 + 0.4 * attempt)
        worker.kill()
        worker.wait()
        with workbench.open(tmp_path / "there") as there:
            for algorithm in there.algorithms.list():  # what is visible is whole
                assert there.algorithms.sources(algorithm.revision)
                assert algorithm.asset("weights/table.npy") == TABLE["weights/table.npy"]
            for run in there.runs.list():
                run.result()
    with workbench.open(tmp_path / "there") as there:
        there.algorithms.import_file(path)
        counts = there.reindex()
        assert (counts["algorithms"], counts["runs"], counts["datasets"]) == (2, 2, 3)


def test_the_command_does_the_same(here: workbench.Workspace, tmp_path: Path) -> None:
    def call(place: str, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["-w", str(tmp_path / place), *words])
        assert done.exit_code == code, done.output
        return done.output

    path = str(tmp_path / "invert.wbalg")
    assert call("here", "export", "invert@1.0", path, "--data") == f"wrote {path}\n"
    assert "would bring invert@1.0" in call("there", "import", path, "--dry-run")
    assert "invert@1.0, revision" in call("there", "import", path)
    assert "invert" in call("there", "ls")
    assert "Leave the options out" in call("there", "import", path, "--name", "x", code=1)
    assert "are for algorithms" in call("there", "export", "scan", str(tmp_path / "a.npy"), "--data", code=1)
