"""RO-Crates: a lineage with its files, read back by the library that others read it with."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from algorithm_folders import GAIN, write_algorithm
from click.testing import CliRunner

import workbench
from workbench.cli import main
from workbench.errors import AlreadyExistsError

FAILS = """
    from workbench.runners import Image2ImageRunner

    class Runner(Image2ImageRunner):
        def inference(self, data, args={}):
            raise ValueError("no light")
"""


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    url: Any = tmp_path / "ws"
    options: dict[str, Any] = {}
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        url, options = s3.new_url(), {"storage_options": s3.storage_options}
    with workbench.open(url, **options) as found:
        found.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
        yield found


def read(path: Path) -> Any:
    """Return a crate as rocrate reads it, after a look at what the specification asks for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from rocrate.rocrate import ROCrate

        crate = ROCrate(str(path))
    folder = path
    if path.suffix == ".zip":
        folder = path.with_suffix(".unpacked")
        with zipfile.ZipFile(path) as file:
            file.extractall(folder)
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    known = {entity["@id"] for entity in graph}
    assert len(known) == len(graph)
    for entity in graph:
        for values in entity.values():
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, dict) and not value["@id"].startswith("https://w3id.org/ro/crate"):
                    assert value["@id"] in known, f"{entity['@id']} names {value['@id']}, which is not there"
    files = {entity["@id"] for entity in graph if "File" in entity["@type"]}
    written = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == written - {"ro-crate-metadata.json"}
    root = crate.root_dataset
    assert {part.id for part in root["hasPart"]} == files
    for name in ("name", "description", "datePublished", "license"):
        assert root[name]
    return crate


@pytest.mark.parametrize("name", ["crate", "crate.zip"])
def test_a_crate_holds_all_files_and_says_what_made_what(
    ws: workbench.Workspace, tmp_path: Path, name: str
) -> None:
    picture = np.arange(16, dtype=np.float32).reshape(4, 4)
    scan = ws.datasets.put({"image": picture}, schema="ImageSchema", name="scan", tags=["raw"])
    first = ws.run("invert", scan, {"gain": 2.0})
    second = ws.run("invert", first.datasets[0])
    path = second.datasets[0].lineage().export(tmp_path / name, license="https://spdx.org/licenses/CC-BY-4.0")
    crate = read(path)
    root = crate.root_dataset
    assert root["license"].id == "https://spdx.org/licenses/CC-BY-4.0"
    assert root["author"].type == "Person"
    assert root["mainEntity"].id == f"datasets/{second.datasets[0].id}.h5"
    assert root["conformsTo"].id == "https://w3id.org/ro/wfrun/process/0.5"
    actions = {action["identifier"]: action for action in root["mentions"]}
    assert set(actions) == {first.id, second.id}
    action = actions[first.id]
    assert (action.type, action["actionStatus"]) == (
        "CreateAction",
        "http://schema.org/CompletedActionStatus",
    )
    assert [entity["name"] for entity in action["object"]] == ["scan", "gain"]
    assert action["object"][1]["value"] == 2.0
    assert action["description"] == "invert@1.0 with gain=2.0, on cpu"
    assert action["result"] is actions[second.id]["object"][0]
    code = action["instrument"]
    assert code is actions[second.id]["instrument"]
    assert (code["name"], code["identifier"], code["version"]) == ("invert@1.0", first.record.revision, "1.0")
    assert (code["hasPart"]["name"], code["hasPart"]["encodingFormat"]) == (
        "pyproject.toml",
        "application/toml",
    )
    about = {entity["name"] for entity in action["subjectOf"]}
    assert about == {f"record of run {first.id}", f"log of run {first.id}", "Python, machine and packages"}

    folder = path.with_suffix(".unpacked") if path.suffix == ".zip" else path
    with h5py.File(folder / root["mainEntity"].id) as file:
        np.testing.assert_array_equal(file["image"][:], second.result())
    with zipfile.ZipFile(folder / code.id) as package:
        assert "class Runner" in package.read("Runner.py").decode()
    packages = next(p for p in (folder / "environments").iterdir())
    assert "numpy" in json.loads(packages.read_text())["packages"]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".crate")]


def test_failed_runs_folders_and_what_was_deleted_are_described(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    scan = ws.datasets.put({"image": np.ones((4, 4), np.float32)}, schema="ImageSchema", name="scan")
    failed = ws.run(write_algorithm(tmp_path / "fails", "fails", FAILS), scan)
    assert failed.status == "FAILED"
    crate = read(failed.lineage().export(tmp_path / "failed"))
    action = crate.root_dataset["mentions"]
    assert action["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert action["error"] == "ValueError: no light"
    assert action["instrument"].type == "SoftwareApplication"

    run = ws.run("invert", scan)
    again = ws.run("invert", scan, reuse="auto")
    ws.datasets.delete(scan.id, force=True)
    crate = read(run.lineage().export(tmp_path / "deleted.zip"))
    action = crate.root_dataset["mentions"]
    assert action["object"][0]["name"] == "deleted since"
    crate = read(again.lineage().export(tmp_path / "reused.zip"))
    reused = crate.root_dataset["mentions"]
    assert reused["identifier"] == again.id
    assert not reused.get("result")
    assert reused["isBasedOn"].id == f"#{run.id}"


def test_an_algorithm_of_a_clean_checkout_has_no_patch(ws: workbench.Workspace, tmp_path: Path) -> None:
    folder = write_algorithm(tmp_path / "repository" / "clean", "clean")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder.parent), *identity, *words], check=True)
    revision = ws.algorithms.deploy(folder, check=False).revision
    assert revision.git is not None
    assert not revision.git.diff
    run = ws.run("clean", {"image": np.ones((4, 4), np.float32)})
    crate = read(run.lineage().export(tmp_path / "crate.zip"))
    code = crate.root_dataset["mentions"]["instrument"]
    parts = code["hasPart"] if isinstance(code["hasPart"], list) else [code["hasPart"]]
    assert [part["name"] for part in parts] == ["pyproject.toml"]


def test_a_crate_replaces_nothing_by_itself(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        scan = ws.datasets.put({"image": np.ones((4, 4), np.float32)}, name="scan")
        zip_ = scan.lineage().export(tmp_path / "c.zip")
        with pytest.raises(AlreadyExistsError, match="overwrite=True"):
            scan.lineage().export(zip_)
        scan.lineage().export(zip_, overwrite=True)
        (tmp_path / "empty").mkdir()
        read(scan.lineage().export(tmp_path / "empty"))
        with pytest.raises(AlreadyExistsError, match="Name an empty folder"):
            scan.lineage().export(tmp_path / "empty", overwrite=True)
    done = CliRunner().invoke(
        main, ["-w", str(tmp_path / "ws"), "lineage", "scan", "-o", str(tmp_path / "cli.zip")]
    )
    assert done.exit_code == 0, done.output
    read(tmp_path / "cli.zip")


def test_without_the_package_it_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys, numpy as np, workbench
sys.modules["rocrate"] = None
with workbench.open(sys.argv[1]) as ws:
    try:
        ws.datasets.put({"a": np.ones(3)}).lineage().export(sys.argv[1] + ".zip")
    except workbench.errors.MissingPackageError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "ws")], capture_output=True, text=True, check=True
    )
    assert "pip install 'jupyter-workbench[provenance]'" in done.stdout
    assert not (tmp_path / "ws.zip").exists()
