"""Texts and paths as inputs of functions: they stay what they are, and the files that they name count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.pipelines import Node, Pipeline

IN = "__pipeline_input__"


def load(path, *, offset=None):
    first = path[0] if isinstance(path, list) else path
    total = float(np.loadtxt(first).sum()) if Path(first).is_file() else -1.0
    return total + (float(Path(offset).read_text()) if offset else 0.0)


def kind(x):
    return type(x).__name__


pipe = Pipeline([Node(load, IN)], "load")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("v.csv").write_text("1 2 3")


@pytest.mark.parametrize("given", ["v.csv", Path("v.csv"), ["v.csv"]])
@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_a_file_that_was_written_again_makes_its_readers_stale(ws, given, executor):
    def run():
        done = pipe.run(given, executor=executor)
        return done.result(), done.nodes[0].reused

    assert run() == (6.0, False)
    assert run() == (6.0, True)
    Path("v.csv").write_text("1 2 9")  # as long, and perhaps at the same time of the file system's clock
    assert run() == (12.0, False)
    Path("v.csv").write_text("1 2 3")
    assert run() == (6.0, True)
    Path("v.csv").unlink()
    assert run() == (-1.0, False)


def test_a_file_that_a_parameter_names_counts(ws):
    Path("offset.txt").write_text("1")
    for offset in ("offset.txt", Path("offset.txt")):
        Path("offset.txt").write_text("1")
        again = Pipeline([Node(load, IN, parameters={"offset": offset})], "load")
        assert again.run("v.csv").result() == 7.0
        assert again.run("v.csv").nodes[0].reused
        Path("offset.txt").write_text("2")
        assert again.run("v.csv").result() == 8.0


def test_the_path_of_a_folder_is_read_each_time(ws):
    names = Pipeline([Node(lambda folder: len(list(Path(folder).iterdir())), IN, name="count")], "count")
    Path("scans").mkdir()
    assert names.run(Path("scans")).result() == 0
    Path("scans", "more.csv").write_text("1")
    assert names.run(Path("scans")).result() == 1


def test_a_text_stays_a_text_for_a_function_and_is_a_name_for_an_algorithm(ws, image):
    stored = ws.datasets.put({"image": image}, name="scan-7")
    np.save("scan.npy", image)
    pipe = Pipeline([Node(kind, IN), Node("invert", IN)], "both", outputs=["kind", "invert"])
    for given in ("scan-7", "scan.npy", Path("scan.npy")):
        found = pipe.run(given).result()
        assert found["kind"] == type(given).__name__
        np.testing.assert_allclose(found["invert"], image.max() - image)
    assert pipe.run(stored.id).result()["kind"] == "ndarray"
    assert pipe.run(stored).result()["kind"] == "ndarray"
    assert Pipeline([Node(kind, IN)], "kind").run("scan-7").result() == "str"
    run = pipe.run("scan-7")
    assert run.node("kind").record.inputs == (stored.id,)
