"""Entries remember what made their files: a version of a step or pipeline, or a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import GAIN, write_algorithm

import workbench
from workbench import Node, Pipeline
from workbench.errors import InUseError, InvalidInputError, NotFoundError
from workbench.steps import JsonStep, SklearnStep
from workbench.versions import VersionedField


class Center(JsonStep):
    state = ("mean",)
    weight = VersionedField(1.0, "major")

    def execute(self, values: list[float]) -> list[float]:
        self.mean = sum(values) / len(values) * self.weight
        return [value - self.mean for value in values]


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as found:
        yield found


def trained() -> Center:
    step = Center()
    step([1.0, 3.0])
    return step


def weights(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt"
    path.write_bytes(b"w")
    return path


def test_the_state_of_a_step_becomes_a_model_that_knows_its_version(ws: workbench.Workspace) -> None:
    version = ws.links.save(trained())
    model = ws.entries.add_model("eos", version, val_error=0.1)
    made = model.made_by
    assert made is not None
    assert (made.kind, made.name, made.number) == ("step", "center", "1.0.0")
    assert (made.major, made.minor, made.patch) == (
        version.version.major,
        version.version.minor,
        version.version.patch,
    )
    assert (model.name, model.digest) == ("center-1.0.0.json", version.record.data)
    other = Center()
    with model.open() as file:
        other.load(file.read())
    assert other.mean == 2.0
    assert "center@1.0.0" in model._repr_html_()
    assert model.row()["made_by"] == "center@1.0.0"

    ws.reindex()
    found = ws.entries.search("made_by == 'center@1.0.0' and val_error < 0.2", "eos", "models")
    assert [entry.id for entry in found] == [model.id]
    assert ws.entries.find(model.id).made_by == made
    assert [entry.id for entry in ws.entries.search(metadata={"made_by": "center@1.0.1"})] == []
    assert [(row["step"], row["entry"]) for row in model.lineage()] == [
        (-1, "step center@1.0.0"),
        (0, "eos/models@1/center-1.0.0.json"),
    ]
    (promoted,) = ws.entries.move(model, domain="best")
    assert promoted.made_by == made


def test_a_step_of_scikit_learn_comes_back_from_its_entry(ws: workbench.Workspace, tmp_path: Path) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    pytest.importorskip("skops")

    class Reduce(SklearnStep):
        model_class = decomposition.PCA
        model_parameters = {"n_components": 2, "random_state": 0}

    x = np.random.default_rng(0).normal(size=(20, 4))
    step = Reduce("fit_predict")
    expected = step(x)
    model = ws.entries.add_model("eos", ws.links.save(step))
    assert model.name == "reduce-1.0.0.zip"
    again = Reduce("predict")
    with model.open() as file:
        again.load(file.read())
    np.testing.assert_array_equal(again(x), expected)


def test_steps_versions_and_pipelines_are_named_in_many_ways(ws: workbench.Workspace, tmp_path: Path) -> None:
    step = trained()
    with pytest.raises(NotFoundError, match=r"'center' as it is now .* is no registered version. Save it"):
        ws.entries.add_model("eos", weights(tmp_path), made_by=step, check=False)
    version = ws.links.save(step)
    pipe = Pipeline([Node(step, "__pipeline_input__", "out")], name="cells")
    pipe.run([1.0, 3.0], workspace=ws)
    saved = pipe.save(workspace=ws)
    names = {
        "center@1.0.0": [step, version, "center", "center@1.0.0"],
        "cells@1.0.0": [saved, "cells", "cells@1.0.0"],
    }
    for shown, makers in names.items():
        for maker in makers:
            (entry,) = ws.entries.add(
                "eos", weights(tmp_path), "models", made_by=maker, parents=[version.ref], check=False
            )
            assert str(entry.made_by) == shown
    for wrong, match in [
        ("centre@1.0.0", "no step or pipeline 'centre' was saved. Did you mean 'center'"),
        ("center@2.0.0", "step 'center' has no version 2.0.0. It has 1.0.0"),
        ("0" * 20, "There is no run '0000"),
    ]:
        with pytest.raises(NotFoundError, match=match):
            ws.entries.add_model("eos", weights(tmp_path), made_by=wrong, check=False)
    with pytest.raises(InvalidInputError, match=r"made_by is float 0\.5"):
        ws.entries.add_model("eos", weights(tmp_path), made_by=0.5, check=False)
    with pytest.raises(
        InvalidInputError, match="A model is a file, or a saved version of a trained step, not Center"
    ):
        ws.entries.add_model("eos", step)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="metadata has the key 'made_by'"):
        ws.entries.add("eos", weights(tmp_path), "models", metadata={"made_by": "me"}, check=False)


def test_a_version_that_made_an_entry_is_kept(ws: workbench.Workspace, tmp_path: Path) -> None:
    version = ws.links.save(trained())
    model = ws.entries.add_model("eos", version)
    for named in (None, "1.0.0"):
        with pytest.raises(InUseError, match=r"needed by entry eos/models@1/center-1\.0\.0\.json"):
            ws.links.delete("center", named)
    ws.entries.purge(model)
    ws.links.delete("center", "1.0.0")


def test_a_version_of_a_pipeline_that_made_an_entry_is_kept(ws: workbench.Workspace, tmp_path: Path) -> None:
    pipe = Pipeline([Node(trained(), "__pipeline_input__", "out")], name="cells")
    pipe.run([1.0, 3.0], workspace=ws)
    saved = pipe.save(workspace=ws)
    model = ws.entries.add_model("eos", weights(tmp_path), made_by=saved, check=False)
    for named in (None, "1.0.0"):
        with pytest.raises(InUseError, match=r"Pipeline cells.* is needed by entry eos/models@1/net\.pt"):
            ws.pipelines.delete("cells", named)
    ws.entries.purge(model)
    ws.pipelines.delete("cells")


def test_a_model_remembers_its_run_and_the_run_is_kept(ws: workbench.Workspace, tmp_path: Path) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
    scan = ws.datasets.put({"image": np.ones((4, 4), np.float32)}, schema="ImageSchema", name="scan")
    run = ws.run("invert", scan)
    model = ws.entries.add_model("eos", weights(tmp_path), made_by=run, check=False)
    by_id = ws.entries.add_model("eos", weights(tmp_path), made_by=run.id, check=False)
    assert model.made_by == by_id.made_by
    assert str(model.made_by) == f"invert@1.0 ({run.id})"
    assert len(ws.entries.search(f"made_by == '{run.id}'")) == 2
    assert [(row["step"], row["entry"], row["note"]) for row in model.lineage()] == [
        (-2, "dataset scan", ""),
        (-1, "run invert@1.0", "completed"),
        (0, "eos/models@1/net.pt", ""),
    ]
    with pytest.raises(InUseError, match=r"entry eos/models@1/net\.pt"):
        ws.runs.delete(run.id)


def test_entries_of_before_have_no_maker(ws: workbench.Workspace, tmp_path: Path) -> None:
    entry = ws.entries.add_model("eos", weights(tmp_path), val_error=0.5, check=False)
    key = "workspace/eos/models/1.json"
    record = json.loads(ws.store.get("entries", key))
    del record["entries"][0]["made_by"]
    ws.store.put("entries", key, json.dumps(record).encode())
    ws.reindex()
    assert ws.entries.find(entry.id).made_by is None
    assert "made_by" not in entry.row()
