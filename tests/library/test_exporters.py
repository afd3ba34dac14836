"""What is exported and imported again is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.catalog import Catalog
from workbench.errors import (
    AlreadyExistsError,
    InvalidDataError,
    InvalidInputError,
    NotFoundError,
    UnsupportedError,
    WorkbenchError,
)
from workbench.library import Dataset, Datasets
from workbench.settings import Settings
from workbench.storage.fsspec_store import FsspecStore

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (20, 30), dtype="u1")
COLOUR = RNG.integers(0, 255, (3, 20, 30), dtype="u1")
STACK = RNG.random((12, 20, 30), dtype="f4")


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    store = FsspecStore(str(tmp_path / "store"))
    store.create_collections(["objects", "datasets"])
    found = Datasets(store, Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite"), Settings())
    yield found
    found._catalog.close()


@pytest.mark.parametrize(
    ("name", "key", "array"),
    [
        ("a.png", "image", GREY),
        ("b.png", "image", GREY.astype("u2") * 200),
        ("c.png", "image", COLOUR),
        ("d.png", "mask", GREY > 9),
        ("a.tif", "image", GREY.astype("f2")),
        ("b.tif", "image", COLOUR),
        ("c.tiff", "volume", STACK),
        ("d.tif", "volume", STACK[:3]),
        ("a.npy", "volume", STACK[:, ::2].astype(">f8")),
        ("a.npz", "volume", STACK),
        ("a.h5", "volume", STACK),
        ("a.fits", "image", GREY.astype("u2")),
        ("b.fits", "volume", STACK[:3]),
        ("folder", "volume", STACK),
        ("folder of three", "volume", STACK[:3]),
    ],
)
def test_a_file_comes_back_the_same(
    datasets: Datasets, tmp_path: Path, name: str, key: str, array: np.ndarray
) -> None:
    path = datasets.put({key: array}).export(tmp_path / name)
    assert path == tmp_path / name
    found = datasets.import_file(path)
    assert isinstance(found, Dataset)
    assert found.source == str(path)
    assert found[key].dtype == array.dtype
    assert np.array_equal(found[key], array)


def test_slices_are_imported_as_datasets_of_their_own(datasets: Datasets, tmp_path: Path) -> None:
    datasets.put({"volume": STACK}).export(tmp_path / "stack")
    found = datasets.import_file(tmp_path / "stack", as_slices=True, name="slice", tags=["t"])
    assert isinstance(found, list)
    assert [d.schema_name for d in found] == ["ImageSchema"] * 12
    assert np.array_equal(found[11].array, STACK[11])
    assert datasets.list(tag="t", name="slice", order="created")[11] == found[11]


def test_all_keys_or_one_are_exported(datasets: Datasets, tmp_path: Path) -> None:
    ds = datasets.put({"image": GREY, "mask": GREY > 9, "points": [GREY[:2]], "note": "é"})
    ds.export(tmp_path / "all.h5")
    found = datasets.import_file(tmp_path / "all.h5")
    assert isinstance(found, Dataset)
    assert found.digest == ds.digest
    ds.export(tmp_path / "mask.h5", "mask")
    assert list(datasets.import_file(tmp_path / "mask.h5").keys) == ["mask"]  # type: ignore[union-attr]
    ds.export(tmp_path / "mask.png", "mask")
    assert np.array_equal(datasets.import_file(tmp_path / "mask.png").array, GREY > 9)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("data", "name", "error", "says"),
    [
        ({"image": GREY.astype("f4")}, "a.png", InvalidDataError, "float32; png holds uint8.*Export to .tif"),
        ({"image": GREY.astype("u2")}, "a.jpg", InvalidDataError, "uint16; jpg holds uint8"),
        ({"volume": STACK}, "a.png", InvalidDataError, r"\(12, 20, 30\).*folder: a path without suffix"),
        ({"image": GREY > 9}, "a.tif", InvalidDataError, "bool, which tif does not hold"),
        ({"image": GREY.astype("f2")}, "a.fits", InvalidDataError, "float16; FITS holds"),
        ({"image": GREY}, "folder", InvalidDataError, "Add a suffix"),
        ({"n": 1}, "a.npy", InvalidInputError, "no array that is the main one"),
        ({"data": np.array(["a"], object)}, "a.npy", InvalidDataError, "Export to .h5"),
        ({"points": [GREY]}, "a.npz", InvalidDataError, "points is a list.*Export to .h5"),
        ({"image": GREY}, "a.bmp", UnsupportedError, "'.bmp'.*Known: .h5"),
        ({"image": GREY}, "no/a.png", NotFoundError, "Make it first"),
        ({"image": GREY}, "there.png", AlreadyExistsError, "overwrite=True"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_nothing_is_left(
    datasets: Datasets, tmp_path: Path, data: Any, name: str, error: type[WorkbenchError], says: str
) -> None:
    (tmp_path / "there.png").write_bytes(b"precious")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=says):
        datasets.put(data).export(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "there.png").read_bytes() == b"precious"


def test_overwrite_replaces_a_file_but_no_folder(datasets: Datasets, tmp_path: Path) -> None:
    (tmp_path / "there.npy").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    datasets.put({"image": GREY}).export(tmp_path / "there.npy", overwrite=True)
    assert np.array_equal(np.load(tmp_path / "there.npy"), GREY)
    with pytest.raises(InvalidInputError, match="is a folder, which is not replaced"):
        datasets.put({"image": STACK}).export(tmp_path / "folder", overwrite=True)
