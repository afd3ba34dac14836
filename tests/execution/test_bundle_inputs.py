"""Versions of bundles as inputs of runs: read-only folders that reuse, lineage and replay know by their contents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import GAIN, INVERT, generic, write_algorithm

import workbench
from workbench.cli.app import main
from workbench.errors import DamagedError, InUseError, InvalidDataError, InvalidInputError, NotFoundError
from workbench.library import input_folders
from workbench.pipelines import Node, Pipeline

IN, OUT = "__pipeline_input__", "__pipeline_output__"
COUNTS = """
    from workbench.runners import BaseRunner
    from workbench.schemas import GenericSchema
    import numpy as np

    class Runner(BaseRunner):
        def preprocess(self, input_data, args={}):
            folder = self.fetch_folder(input_data["input_dataset_ids"][-1])
            print("folder", folder)
            return sorted(p for p in folder.rglob("*") if p.is_file())

        def inference(self, data, args={}):
            return [{"data": np.array([len(p.read_text()) for p in data])}]

        def postprocess(self, data, args={}):
            return self.post_data(data, GenericSchema)
"""


@pytest.fixture
def ws(workspace_url: str, tmp_path: Path):
    with workbench.open(workspace_url) as opened:
        opened.algorithms.deploy(write_algorithm(tmp_path / "counts", "counts", COUNTS, type="Generic"))
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    (made / "data" / "day 1").mkdir(parents=True)
    (made / "data" / "day 1" / "ä.txt").write_text("four")
    (made / "notes.txt").write_text("seven..")
    return made


@pytest.fixture
def bundle(ws, folder: Path):
    ws.bundles.push("pictures", folder)
    return ws.bundles.get("pictures")


def measure(folder: Path) -> int:
    assert isinstance(folder, Path)
    return sum(len(path.read_text()) for path in folder.rglob("*.txt"))


def place_of(run) -> Path:
    return Path(next(line.split("folder ")[1] for line in run.log.lines() if "folder " in line))


def states(place: Path) -> tuple[bool, bool, list[Path]]:
    return (
        os.access(place / "run.sh", os.X_OK),
        os.access(place / "notes.txt", os.X_OK),
        [*(place / "logs").iterdir()],
    )


def test_modes_and_empty_folders_are_part_of_what_a_run_reads(ws, folder):
    (folder / "logs").mkdir()
    (folder / "run.sh").write_text("echo")
    (folder / "run.sh").chmod(0o755)
    seen = []
    pipe = Pipeline([Node(lambda place: seen.append(states(place)) or 1, IN, OUT, name="look")], "look")
    for mode in (0o755, 0o644):
        (folder / "run.sh").chmod(mode)
        ws.bundles.push("tools", folder)
        assert pipe.run(ws.bundles.get("tools")).result() == 1
    assert seen == [(True, False, []), (False, False, [])]


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_an_algorithm_reads_a_version_as_a_read_only_folder(ws, folder, bundle, executor):
    (folder / "notes.txt").write_text("another")
    ws.bundles.push("pictures", folder)
    run = ws.run("counts", bundle, executor=executor)
    assert run.status == "COMPLETED", run.error
    assert run.result().tolist() == [4, 7]
    place = place_of(run)
    assert (place / "notes.txt").read_text() == "seven.."
    assert {p.stat().st_mode & 0o222 for p in [place, *place.rglob("*")]} == {0}
    [read] = run.inputs
    assert read.record.source == "bundle:pictures@1"
    assert run.replay().is_identical
    assert ws.run("counts", read.id).result().tolist() == [4, 7]


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_a_sweep_goes_over_parameters_and_over_versions(ws, tmp_path, folder, bundle, executor):
    ws.algorithms.deploy(write_algorithm(tmp_path / "gains", "gains", COUNTS, type="Generic", extra=GAIN))
    sweep = ws.sweeps.run("gains", {"gain": [1.0, 2.0]}, inputs=bundle, executor=executor)
    assert [run.result().tolist() for run in sweep.runs] == [[4, 7]] * 2
    (folder / "notes.txt").write_text("another")
    (folder / "data" / "day 2").mkdir()
    (folder / "data" / "day 2" / "b.txt").write_text("x")
    ws.bundles.push("pictures", folder)
    parts = [bundle, ws.bundles.get("pictures", 2), ws.bundles.get("pictures", 2, what="data")]
    sweep = ws.sweeps.run("gains", {"gain": [1.0, 2.0]}, inputs=parts, each_input=True, executor=executor)
    assert sweep.status == "COMPLETED"
    results = [run.result().tolist() for run in sweep.runs]
    assert results[:4:2] == [[4, 7], [4, 1, 7]]
    names = ["pictures@1", "pictures@2", "pictures@2 (data)"]
    assert list(sweep.table()["input"]) == [name for name in names for _ in range(2)]
    assert [bool(run.reused_from) for run in sweep.runs[:4]] == [True, True, False, False]
    # a listing of the versions, newest first, has one input each
    sweep = ws.sweeps.run("gains", inputs=ws.bundles.versions("pictures"), each_input=True, executor=executor)
    assert list(sweep.table()["input"]) == ["pictures@2", "pictures@1"]
    assert all(run.reused_from for run in sweep.runs)


def test_equal_contents_stand_for_each_other_and_why_names_the_version(ws, folder, bundle):
    first = ws.run("counts", bundle)
    assert ws.run("counts", bundle, reuse="auto").reused_from == first.id
    (folder / "notes.txt").write_text("more than seven")
    ws.bundles.push("pictures", folder)
    second = ws.run("counts", ws.bundles.get("pictures", 2), reuse="auto")
    assert second.reused_from is None
    assert "bundle:pictures@1 -> bundle:pictures@2" in repr(ws.why(second.id))
    again = ws.bundles.restore("pictures@1")
    assert again.version == 3
    assert ws.run("counts", again, reuse="auto").reused_from == first.id


def test_lineage_leads_through_a_bundle_both_ways(ws, folder, bundle):
    made = ws.run("counts", bundle)
    (folder / "result.txt").write_text("learned")
    ws.bundles.push("learned", folder, parents=[made])
    learned = ws.bundles.get("learned")
    with pytest.raises(NotFoundError, match=r"No run has read learned@1"):
        learned.lineage()
    last = ws.run("counts", learned)
    up = last.lineage()
    sources = [getattr(node.record, "source", None) for node in up.nodes.values()]
    assert "bundle:learned@1" in sources
    assert "bundle:pictures@1" in sources
    assert made.id in up.nodes
    assert last.outputs[0].id in learned.lineage(direction="down").nodes
    prov = json.loads(up.prov())
    assert "bundle:pictures@1" in json.dumps(prov["entity"])
    assert any(made.id in edge["prov:activity"] for edge in prov["used"].values())


def test_what_was_written_to_is_made_anew(ws, bundle):
    place = place_of(ws.run("counts", bundle))
    (place / "notes.txt").chmod(0o644)
    (place / "notes.txt").write_text("changed")
    place.chmod(0o755)
    (place / "more.txt").write_text("!")
    run = ws.run("counts", bundle)
    assert run.result().tolist() == [4, 7]
    assert place_of(run) == place
    assert not (place / "more.txt").exists()
    assert [p.name for p in place.parent.iterdir()] == [place.name]


def test_what_nobody_asks_for_goes_away(ws, folder, bundle):
    place = place_of(ws.run("counts", bundle))
    old = place.stat().st_mtime - input_folders.FORGOTTEN_S - 60
    os.utime(place, (old, old))
    (folder / "notes.txt").write_text("new")
    ws.bundles.push("pictures", folder)
    other = place_of(ws.run("counts", ws.bundles.get("pictures")))
    assert [p.name for p in place.parent.iterdir()] == [other.name]


def test_a_version_that_runs_have_read_is_not_deleted_unasked(ws, bundle):
    run = ws.run("counts", bundle)
    with pytest.raises(InUseError, match=rf"pictures@1 is still needed by run .*{run.id}.*force=True"):
        ws.bundles.delete("pictures@1")
    place = place_of(run)
    assert ws.bundles.delete("pictures@1", force=True) == 1
    with pytest.raises(NotFoundError, match="was deleted since, or its file is gone"):
        run.replay()
    assert place.is_dir()
    assert ws.run("counts", run.inputs[0].id).status == "COMPLETED"  # of what this user still has
    input_folders._remove(place)
    failed = ws.run("counts", run.inputs[0].id)
    assert failed.status == "FAILED"
    assert "is gone from" in str(failed.error)


def test_a_tampered_content_fails_the_run(ws, bundle):
    digest = bundle.files["notes.txt"].digest
    content = Path(ws.url) / "bundle-files" / digest
    content.chmod(0o644)
    content.write_text("evil...")
    run = ws.run("counts", bundle)
    assert run.status == "FAILED"
    assert "is not what was pushed" in str(run.error)


def test_what_is_no_folder_is_refused(ws, tmp_path: Path, bundle):
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert", code=INVERT), check=False)
    count = len(ws.datasets.list())
    with pytest.raises(InvalidInputError, match=r"bundle pictures@1, a folder, and an Image2Image algorithm"):
        ws.run("invert", bundle)
    assert len(ws.datasets.list()) == count
    number = ws.datasets.put({"data": np.ones(3)})
    assert "is no bundle, so it has no folder" in str(ws.run("counts", number).error)
    evil = json.dumps({"../../evil": [bundle.files["notes.txt"].digest, 7]})
    bad = ws.datasets.put({"bundle": evil}, source="bundle:evil@1")
    assert "File name" in str(ws.run("counts", bad).error)
    wrong = ws.datasets.put({"bundle": "no"}, source="bundle:wrong@1")
    with pytest.raises(InvalidDataError, match="names no files of a bundle"):
        ws.datasets.folder(wrong)
    with pytest.raises(DamagedError, match="is gone from"):
        ws.datasets.folder(
            ws.datasets.put({"bundle": json.dumps({"a": ["0" * 64, 1]})}, source="bundle:gone@1")
        )


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_functions_and_algorithms_of_pipelines_read_bundles(ws, bundle, executor):
    nodes = [Node("counts", IN, "lengths"), Node(measure, IN, "total")]
    pipe = Pipeline(nodes, "measured", outputs=["lengths", "total"])
    run = pipe.run(bundle, executor=executor)
    assert run.status == "COMPLETED", run.error
    assert run.result()["total"] == 11
    assert run.result()["lengths"].tolist() == [4, 7]
    assert [n.reused for n in pipe.run(bundle, executor=executor).nodes] == [True, True]
    assert run.replay().is_identical
    alone = Pipeline([Node(measure, IN, OUT)], "alone").run(bundle, executor=executor)
    assert alone.result() == 11
    assert alone.record.inputs == run.record.inputs
    assert alone.replay().is_identical


def test_a_line_names_a_bundle(ws, bundle, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "-w", ws.url, "run", "counts", "bundle:pictures@1"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert ws.runs.get("last").result().tolist() == [4, 7]
    from click.testing import CliRunner

    told = CliRunner().invoke(main, ["-w", ws.url, "bundle", "rm", "pictures", "--yes"])
    assert told.exit_code != 0
    assert "is still needed by run counts@1.0" in told.output + str(told.exception)
    told = CliRunner().invoke(main, ["-w", ws.url, "bundle", "rm", "pictures", "--yes", "--force"])
    assert "deleted 1 version" in told.output


def test_a_bundle_and_arrays_are_inputs_side_by_side(ws, bundle):
    run = ws.run("counts", [np.ones(3), bundle])
    assert run.result().tolist() == [4, 7]
    assert len(run.inputs) == 2


def test_generic_code_still_reads_what_is_no_folder(ws, tmp_path: Path):
    ws.algorithms.deploy(
        write_algorithm(tmp_path / "same", "same", generic("return [data[0]['data']]"), type="Generic"),
        check=False,
    )
    assert ws.run("same", np.arange(3)).result().tolist() == [0, 1, 2]


def test_many_that_want_one_folder_at_once_find_it_whole(ws, folder, tmp_path: Path):
    for number in range(40):
        (folder / f"{number}.txt").write_text(str(number) * 100)
    ws.bundles.push("pictures", folder)
    bundle = ws.bundles.get("pictures")
    places = input_folders.InputFolders(ws.store, tmp_path / "folders")
    begin = threading.Barrier(8)

    def ask(_: int) -> tuple[Path, int]:
        begin.wait(20)
        place = places.path("digest", bundle.files)
        return place, sum(path.stat().st_size for path in place.rglob("*.txt"))

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ask, range(8)))
    assert found == {(tmp_path / "folders" / "digest", bundle.record.size)}
    assert [path.name for path in (tmp_path / "folders").iterdir()] == ["digest"]


def test_a_part_of_a_version_is_an_input_and_keeps_the_version(ws, bundle):
    run = ws.run("counts", ws.bundles.get("pictures", what="data"))
    assert run.result().tolist() == [4]
    assert sorted(p.name for p in place_of(run).rglob("*") if p.is_file()) == ["ä.txt"]
    assert run.outputs[0].id in bundle.lineage().nodes
    with pytest.raises(InUseError, match=r"Bundle pictures@1"):
        ws.bundles.delete("pictures@1")
    assert ws.bundles.delete("pictures@1", force=True) == 1
