"""Recorded values: shown where they are recorded, kept in the executed notebook, read back as they were."""

from __future__ import annotations

import datetime
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from nbformat import v4
from PIL import Image
from traitlets.config import Config

import workbench
from workbench.batch.record import INLINE, put_by
from workbench.errors import InvalidInputError
from workbench.library.recorded import RECORD_MIME, live, records_of, summary_of, thumbnail_of


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Give the bundles that an IPython shell displays."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    hook, display = sys.excepthook, sys.displayhook
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.display_pub = CapturingDisplayPublisher()
    yield shell.display_pub.outputs
    InteractiveShell.clear_instance()
    sys.excepthook, sys.displayhook = hook, display


def notebook(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the outputs as those of a notebook that was saved and read again."""
    return {
        "cells": [{"outputs": json.loads(json.dumps(outputs, allow_nan=False))}, {"cell_type": "markdown"}]
    }


PLAIN = [
    *(0, -3, 2**70, 0.1 + 0.2, True, None, "text µm", "", [1, "a", None, [2.5]], {"a": {"b": [1]}}),
    *(float("inf"), float("-inf"), [1.0, float("inf")]),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_come_back_as_they_were(value: Any, shown: list[dict[str, Any]]) -> None:
    workbench.record("x", value)
    back = records_of(notebook(shown))["x"]
    assert (back, type(back)) == (value, type(value))
    assert live(back) == value
    assert shown[0]["data"]["text/plain"].startswith("x = ")


def test_not_a_number_comes_back_as_one(shown: list[dict[str, Any]]) -> None:
    workbench.record("x", float("nan"))
    assert np.isnan(records_of(notebook(shown))["x"])


def test_scalars_times_and_mappings_of_numpy_are_plain(shown: list[dict[str, Any]]) -> None:
    when = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
    workbench.record("a", np.float32(0.5))
    workbench.record("b", {"n": np.int64(3), "v": np.arange(2), "t": (1, 2)})
    workbench.record("c", when)
    assert records_of(notebook(shown)) == {
        "a": 0.5, "b": {"n": 3, "v": [0, 1], "t": [1, 2]}, "c": when.isoformat(),
    }  # fmt: skip


def test_the_last_value_of_a_name_stands_and_appended_ones_are_a_list(shown: list[dict[str, Any]]) -> None:
    for step in range(3):
        workbench.record("loss", 1.0 / (step + 1))
        workbench.record("losses", step, append=True)
    assert records_of(notebook(shown)) == {"loss": 1 / 3, "losses": [0, 1, 2]}


@pytest.mark.parametrize("dtype", ["float32", "uint8", "bool", "complex64", "<U3", ">i4"])
def test_small_arrays_live_in_the_notebook(dtype: str, shown: list[dict[str, Any]]) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    workbench.record("a", array)
    recorded = records_of(notebook(shown))["a"]
    back = live(recorded)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert summary_of(recorded) == f"3 x 4 {np.dtype(dtype)}"
    assert (thumbnail_of(recorded) is not None) == (np.dtype(dtype).kind in "biuf")


def test_large_arrays_become_datasets_of_the_current_workspace(
    shown: list[dict[str, Any]], tmp_path: Path
) -> None:
    array = np.random.default_rng(0).random((200, 300), dtype=np.float32)
    with workbench.open(tmp_path / "ws") as ws:
        workbench.record("image", array)
        recorded = records_of(notebook(shown))["image"]
        assert len(json.dumps(recorded)) < INLINE * 4
        assert ws.datasets.find(recorded["dataset"]).attributes == {"recorded": "image"}
        np.testing.assert_array_equal(live(recorded, ws.datasets), array)
    with pytest.raises(InvalidInputError, match=r"Pass ws\.datasets"):
        live(recorded)


def test_a_dataset_is_recorded_without_being_stored_again(
    shown: list[dict[str, Any]], tmp_path: Path
) -> None:
    image = np.random.default_rng(0).random((40, 50), dtype=np.float32)
    with workbench.open(tmp_path / "ws") as ws:
        stored = ws.datasets.put({"image": image}, name="scan")
        workbench.record("scan", stored)
        workbench.record("both", ws.datasets.put({"a": image, "b": image}))
        records = records_of(notebook(shown))
        assert len(ws.datasets.list()) == 2
        np.testing.assert_array_equal(live(records["scan"], ws.datasets), image)
        assert set(live(records["both"], ws.datasets).keys) == {"a", "b"}
    assert records["scan"]["dataset"] == stored.id
    assert thumbnail_of(records["scan"]) is not None
    assert summary_of(records["scan"]) == "40 x 50 float32"
    assert "Dataset" in summary_of(records["both"])


def test_a_run_can_say_where_large_values_go(shown: list[dict[str, Any]]) -> None:
    put: dict[str, Any] = {}

    def keep(data: Any, name: str) -> str:
        put[name] = data["array"]
        return "some-id"

    with put_by(keep):
        workbench.record("big", np.zeros(INLINE))
    assert put["big"].shape == (INLINE,)
    assert records_of(notebook(shown))["big"]["dataset"] == "some-id"


def test_tensors_are_arrays_and_those_of_one_number_are_numbers(shown: list[dict[str, Any]]) -> None:
    torch = pytest.importorskip("torch")
    workbench.record("t", torch.ones(2, 3, requires_grad=True))
    workbench.record("loss", torch.tensor(0.5, requires_grad=True))
    records = records_of(notebook(shown))
    np.testing.assert_array_equal(live(records["t"]), np.ones((2, 3), np.float32))
    assert records["loss"] == 0.5


class Figure:
    """Has what matplotlib's figure has of saving itself."""

    def savefig(self, file: io.BytesIO, **options: Any) -> None:
        Image.new("RGB", (1600, 800), "navy").save(file, options["format"])


def test_figures_are_kept_as_pictures_of_bounded_size(shown: list[dict[str, Any]]) -> None:
    workbench.record("figure", Figure())
    workbench.record("picture", Image.new("L", (20, 10)))
    records = records_of(notebook(shown))
    with Image.open(io.BytesIO(live(records["figure"]).png)) as image:
        assert image.size == (1200, 600)
    assert summary_of(records["figure"]) == "figure 1200 x 600"
    assert summary_of(records["picture"]) == "figure 20 x 10"
    assert "image/png" in shown[0]["data"]


def test_frames_come_back_with_their_types_and_index(shown: list[dict[str, Any]], tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"area": [1.5, 2.25], "name": ["a", "b"], "n": [1, 2]}, index=[10, 20])
    workbench.record("cells", frame)
    twice = pandas.DataFrame([[1, 2]], columns=["a", "b"])
    twice.columns = pandas.MultiIndex.from_tuples([("x", "a"), ("x", "b")])
    workbench.record("levels", twice)
    with workbench.open(tmp_path / "ws") as ws:
        large = pandas.DataFrame({"x": np.arange(20_000), "y": np.linspace(0, 1, 20_000)})
        workbench.record("large", large)
        records = records_of(notebook(shown))
        pandas.testing.assert_frame_equal(
            live(records["cells"]), frame, check_index_type=False, check_names=False
        )
        pandas.testing.assert_frame_equal(
            live(records["large"], ws.datasets), large, check_index_type=False, check_names=False
        )
    assert live(records["levels"]).to_numpy().tolist() == [[1, 2]]
    assert summary_of(records["cells"]) == "2 rows x 3 columns"
    assert "<table" in shown[0]["data"]["text/html"]


@pytest.mark.parametrize("value", [object(), 1j, np.array([object()]), [object()], lambda: 1])
def test_what_cannot_be_kept_is_refused_and_nothing_is_shown(value: Any, shown: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidInputError, match="'x'"):
        workbench.record("x", value)
    assert shown == []


@pytest.mark.parametrize("name", ["", " ", 3, None])
def test_a_name_is_text(name: Any, shown: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidInputError, match="expected text such as"):
        workbench.record(name, 1)


def test_outside_of_a_notebook_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    workbench.record("sharpness", 0.25)
    assert capsys.readouterr().out == "sharpness = 0.25\n"


def test_outputs_of_others_are_no_records() -> None:
    outputs = [{"data": {RECORD_MIME: {"other": 1}}}, {"data": {RECORD_MIME: "x"}}, {"text": "a"}]
    assert records_of({"cells": [{"outputs": outputs}]}) == {}


def test_records_live_in_a_notebook_that_nbclient_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("WORKBENCH_URL", str(tmp_path / "ws"))
    cells = [
        "import numpy as np, workbench\nfor i in range(3): workbench.record('steps', i, append=True)",
        "workbench.record('nan', float('nan')); workbench.record('image', np.zeros((200, 200)))",
    ]
    made = v4.new_notebook(cells=[v4.new_code_cell(text) for text in cells])
    records = records_of(NotebookClient(made, timeout=60).execute())
    assert records["steps"] == [0, 1, 2]
    assert np.isnan(records["nan"])
    with workbench.open(tmp_path / "ws") as ws:
        assert live(records["image"], ws.datasets).shape == (200, 200)
