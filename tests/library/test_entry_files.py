"""The files of entries: their kinds, checked, and the facts of models."""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import workbench
from workbench.errors import InvalidDataError, InvalidInputError, NotFoundError
from workbench.library.entry_files import check_file
from workbench.models import EntryKind


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as found:
        yield found


def safetensors(path: Path) -> Path:
    data = np.arange(6, dtype=np.float32).tobytes()
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def torchscript(path: Path) -> Path:
    torch = pytest.importorskip("torch")
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 1), torch.zeros(1, 2)), path)
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", [safetensors, torchscript])
def test_models_are_checked_without_being_loaded(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "model")
    check_file(path, EntryKind.MODELS)
    whole = path.read_bytes()
    for broken in (whole[:-4], whole[: len(whole) // 2], b"", b"\xff" * 64):
        path.write_bytes(broken)
        with pytest.raises(InvalidDataError, match="model"):
            check_file(path, EntryKind.MODELS)


def test_a_pickled_model_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(2)}, tmp_path / "pickled.pt")
    with pytest.raises(InvalidDataError, match=r"perhaps a pickled one.*torch\.jit\.save"):
        check_file(tmp_path / "pickled.pt", EntryKind.MODELS)
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(InvalidDataError, match="neither TorchScript nor safetensors"):
        check_file(tmp_path / "plain.pkl", EntryKind.MODELS)


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ([("F32", [2, 3], 0, 24), ("F32", [2], 16, 24)], "begins at byte 16, where 24 is expected"),
        ([("F32", [2, 3], 0, 24), ("F32", [2], 28, 36)], "begins at byte 28, where 24 is expected"),
        ([("F32", [9, 9], 0, 24)], r"24 bytes, which F32 \[9, 9\] does not take"),
        ([("F32", [-2, -3], 0, 24)], "has the shape"),
        ([("U8", [24], 0, 24), ("U8", [0], 24, 24), ("new dtype", [3], 24, 25)], ""),
    ],
)
def test_tensors_fill_their_bytes_one_after_the_other(
    tmp_path: Path, tensors: list[tuple[str, list[int], int, int]], text: str
) -> None:
    entries = {f"t{i}": {"dtype": d, "shape": s, "data_offsets": o} for i, (d, s, *o) in enumerate(tensors)}
    header = json.dumps(entries).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(tensors[-1][3]))
    if not text:
        check_file(path, EntryKind.MODELS)
        return
    with pytest.raises(InvalidDataError, match=text):
        check_file(path, EntryKind.MODELS)


def test_an_archive_with_some_files_of_torchscript_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x/constants.pkl", "x/code/a.py"):
            archive.writestr(name, b"")
    with pytest.raises(InvalidDataError, match="is no TorchScript model"):
        check_file(path, EntryKind.MODELS)


def test_hdf5_may_begin_after_a_block_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=1024) as file:
        file["inputs"] = np.zeros((4, 2))
    check_file(path, EntryKind.DATA)


def test_data_are_hdf5_with_as_many_outputs_as_inputs(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["inputs"], file["outputs"] = np.zeros((4, 2)), np.zeros((3, 1))
    with pytest.raises(InvalidDataError, match="4 rows of inputs and 3 of outputs"):
        check_file(path, EntryKind.DATA)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidDataError, match="damaged HDF5"):
        check_file(path, EntryKind.CANDIDATES)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"val_error": 0.1, "metadata": {"val_error": 1}}, "'val_error', which is an argument"),
        ({"val_error": "low"}, "val_error is 'low', expected a number"),
        ({"val_error": float("nan")}, "val_error is nan"),
        ({"uq_type": "fais"}, "Did you mean 'faiss'"),
        ({"uq_type": "deltaUQ"}, "needs uq_aggregate"),
        ({"uq_type": "faiss"}, "'faiss' needs uq_aggregate"),
        ({"uq_type": "deltaUQ", "uq_aggregate": "sum"}, "one of max, mean"),
    ],
)
def test_facts_of_models_are_typed(
    ws: workbench.Workspace, tmp_path: Path, given: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(text)):
        ws.entries.add_model("eos", safetensors(tmp_path / "a.safetensors"), **given)
    assert len(ws.entries.list()) == 0


def test_models_are_ranked_by_their_errors(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = safetensors(tmp_path / "a.safetensors")
    for error in (0.3, 0.1, 0.2):
        ws.entries.add_model(
            "eos",
            path,
            val_error=error,
            test_error=2 * error,
            uq_type="deltaUQ",
            uq_aggregate="max",
            threshold=0.5,
        )
    ranked = ws.entries.search("test_error < 0.5", "eos", "models", order="val_error")
    assert [e.metadata["val_error"] for e in ranked] == [0.1, 0.2]
    assert {"val_error", "test_error", "threshold", "uq_type", "uq_aggregate"} < ranked.rows()[0].keys()


def test_names_are_suggested_with_domain_and_suffix(ws: workbench.Workspace) -> None:
    first, second = (ws.entries.suggest_name("models", "eos") for _ in range(2))
    assert first != second
    assert re.fullmatch(r"eos_[0-9a-f]{32}_.+_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{6}\.pt", first)
    assert ws.entries.suggest_name("data").endswith(".h5")


def test_what_is_no_file_is_refused_with_its_reason(ws: workbench.Workspace, tmp_path: Path) -> None:
    (tmp_path / "link.h5").symlink_to("gone.h5")
    os.mkfifo(tmp_path / "pipe.h5")
    strange = os.fsencode(tmp_path) + b"/\xff.h5"
    with open(strange, "wb"):  # noqa: PTH123 - such names have no Path of their own
        pass
    for file, text in (
        ("link.h5", r"There is no file .*link.h5: it is a link to gone.h5, which is gone"),
        ("pipe.h5", r"pipe.h5 is no file with a content, but a device or a pipe"),
        ("lnk.h5", r"Did you mean 'link.h5'"),
        (os.fsdecode(strange), r"The path of a file is .*\\udcff.h5', which has '\\udcff'"),
        (".", r"is a folder, and an entry is a file"),
    ):
        with pytest.raises((InvalidInputError, NotFoundError), match=text):
            ws.entries.add("eos", tmp_path / file, check=False)
    with pytest.raises(NotFoundError, match=r"There is no file s3://b/k.h5: it is a URL"):
        ws.entries.add("eos", "s3://b/k.h5")
    assert not ws.entries.list()
