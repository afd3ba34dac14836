"""Many HDF5 files of a domain as one lazy array."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import workbench
from workbench.errors import DamagedError, InvalidDataError, NotFoundError

LENGTHS = (5, 1, 7, 0, 4)


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as found:
        yield found


def write(path: Path, inputs: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["inputs"] = inputs
    return path


@pytest.fixture
def whole(ws: workbench.Workspace, tmp_path: Path) -> np.ndarray:
    """Return what the view is to be, its files added."""
    parts = [np.random.default_rng(i).random((n, 3), np.float32) for i, n in enumerate(LENGTHS)]
    for i, part in enumerate(parts):
        ws.entries.add("eos", write(tmp_path / f"{i}.h5", part), copy=i % 2 == 0)
    return np.concatenate(parts)


INDEXES: list[Any] = [
    np.s_[:], np.s_[4:8], np.s_[::3], np.s_[2:15:4], np.s_[::-1], np.s_[12:2:-2], np.s_[100:], np.s_[0], np.s_[-1],
    np.s_[6:, 1], np.s_[3, 1:], np.s_[..., 2], np.s_[...], np.s_[5:6], [0, 16, 5, 5, 3], np.array([-1, 0]), [], np.s_[[8, 2], :2],
    np.arange(17) % 2 == 0,
    np.s_[:, [2, 0]], np.s_[:, ::-1], np.s_[[0, 1], [0, 1]], np.s_[3, [2, 0, 0]], np.s_[::-2, [1, 1]], np.s_[[5, 5, 0], ::-1],
    np.s_[:4, None], np.s_[..., ::-1], np.s_[[16, 2], np.array([True, False, True])], np.s_[2:2, [1]], np.s_[:, -1],
]  # fmt: skip


@pytest.mark.parametrize("index", INDEXES, ids=str)
def test_a_view_is_read_as_numpy_reads_the_whole(
    ws: workbench.Workspace, whole: np.ndarray, index: Any
) -> None:
    view = ws.entries.view("eos")
    assert (view.shape, view.dtype, len(view), view.nbytes) == ((17, 3), np.float32, 17, whole.nbytes)
    found = view[index]
    np.testing.assert_array_equal(
        found, whole[index if not isinstance(index, list) or index else np.array([], int)]
    )


def test_versions_choose_files(ws: workbench.Workspace, whole: np.ndarray) -> None:
    np.testing.assert_array_equal(ws.entries.view("eos", version=[1, 3]), np.r_[whole[:5], whole[6:13]])
    np.testing.assert_array_equal(np.stack(list(ws.entries.view("eos", version="latest"))), whole[13:])
    for row in (17, -18):
        with pytest.raises(IndexError, match="out of range"):
            ws.entries.view("eos")[row]


@pytest.mark.parametrize("other", [np.zeros((2, 4), np.float32), np.zeros((2, 3), np.float64)])
def test_files_that_do_not_fit_are_refused(
    ws: workbench.Workspace, whole: np.ndarray, tmp_path: Path, other: np.ndarray
) -> None:
    ws.entries.add("eos", write(tmp_path / "other.h5", other))
    with pytest.raises(
        InvalidDataError, match=r"float\d\d in entry eos/data@6/other.h5, and of shape \(3,\)"
    ):
        ws.entries.view("eos")
    assert ws.entries.view("eos", version=range(1, 6)).shape == (17, 3)


def test_a_file_that_was_changed_is_not_read_without_a_word(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.zeros((6, 3), np.float32))
    ws.entries.add("eos", path, copy=False)
    view = ws.entries.view("eos")
    later = path.stat().st_mtime + 10
    os.utime(path, (later, later))  # touched, and the same
    assert view[0:4].shape == (4, 3)
    with h5py.File(path, "r+") as file:
        file["inputs"][0, 0] = 7
    os.utime(path, (later + 1, later + 1))
    for read in (lambda: view[0], lambda: ws.entries.view("eos")):
        with pytest.raises(DamagedError, match=r"eos/data@1/a.h5 is not what was added"):
            read()
    write(path, np.zeros((2, 3), np.float32))
    with pytest.raises(DamagedError, match=r"it has another size"):
        view[0:4]


def test_a_view_of_models_says_what_it_reads(ws: workbench.Workspace, tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"weights")
    ws.entries.add("eos", tmp_path / "net.pt", "models", check=False)
    with pytest.raises(InvalidDataError, match=r"eos/models@1/net.pt is not HDF5, which a view reads"):
        ws.entries.view("eos", kind="models")


def test_a_key_that_is_not_there_is_named_with_the_nearest(
    ws: workbench.Workspace, whole: np.ndarray
) -> None:
    with pytest.raises(NotFoundError, match=r"0.h5 has no rows of 'input'. Did you mean 'inputs'"):
        ws.entries.view("eos", "input")
    with pytest.raises(NotFoundError, match="There is no file in eos/candidates"):
        ws.entries.view("eos", kind="candidates")
