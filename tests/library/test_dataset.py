"""A dataset shows what it is, in text and in pictures, and reads no more than it shows."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from workbench.catalog import Catalog
from workbench.errors import DamagedError, InvalidInputError, NotFoundError
from workbench.library import Dataset, Datasets
from workbench.library.dataset import human_size
from workbench.library.open_files import OpenFiles
from workbench.library.preview import picture
from workbench.settings import Settings
from workbench.storage import hdf5
from workbench.storage.fsspec_store import FsspecStore

RNG = np.random.default_rng(0)
IMAGE = RNG.random((40, 50), dtype="f4")


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    store = FsspecStore(str(tmp_path / "store"))
    store.create_collections(["objects", "datasets"])
    found = Datasets(store, Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite"), Settings())
    yield found
    found.close()
    found._catalog.close()


def pixels(png: bytes | None) -> np.ndarray:
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_handle_gives_its_facts_and_arrays(datasets: Datasets) -> None:
    ds = datasets.put(
        {"image": IMAGE, "mask": IMAGE > 0.5, "n": 3}, name="scan", tags=["a"], source="/data/scan.tif"
    )
    assert np.array_equal(ds["mask"], IMAGE > 0.5)
    assert np.array_equal(ds.array, IMAGE)
    assert np.asarray(ds, "f8").dtype == np.float64
    assert ("mask" in ds, "x" in ds, ds.size) == (True, False, "9.8 KiB")
    with ds.open() as file:
        assert file["image"][3, 4] == IMAGE[3, 4]
    assert len({ds, datasets.find("scan")}) == 1
    assert (
        repr(ds) == f"<Dataset {ds.id} 'scan', image: (40, 50) float32, mask: (40, 50) bool, n: int, 9.8 KiB>"
    )


def test_the_main_array_is_the_only_one_or_the_image(datasets: Datasets) -> None:
    assert datasets.put({"b": IMAGE, "n": 1}).main_key == "b"
    assert datasets.put({"a": IMAGE, "volume": IMAGE[None]}).main_key == "volume"
    for data in ({"n": 1}, {"a": IMAGE, "b": IMAGE}, {}):
        with pytest.raises(InvalidInputError, match="no array that is the main one"):
            datasets.put(data).array


def test_text_and_html_say_what_it_is_and_where_it_comes_from(datasets: Datasets) -> None:
    parent = datasets.put({"image": IMAGE})
    ds = datasets.put(
        {"image": IMAGE, "label": "<b>"}, name="scan", tags=["x", "y"],
        parents=[parent], run_id=parent.id, source="/data/<scan>.tif",
    )  # fmt: skip
    shown = ds._repr_mimebundle_()
    assert shown["text/plain"] == (
        f"Dataset {ds.id} 'scan' · DataSchema · 7.8 KiB\n"
        "  image  (40, 50) float32\n"
        "  label  str\n"
        "  tags: x, y\n"
        f"  made by run {parent.id}\n"
        f"  made from {parent.id}\n"
        "  imported from /data/<scan>.tif"
    )
    html = shown["text/html"]
    assert len(re.findall("data:image/png;base64,", html)) == 1
    for part in ("scan", ds.id, "(40, 50) float32", ">x<", f"made by run {parent.id}", "&lt;scan&gt;"):
        assert part in html
    assert "<scan>" not in html


def test_a_table_shows_its_columns(datasets: Datasets) -> None:
    table = np.zeros(3, [("label", "i4"), ("position", "f8", (2,))])
    assert "data: (3,) with columns label, position, " in repr(datasets.put({"data": table}))
    assert datasets.list().rows()[0]["keys"] == "data (3,) with columns label, position"


def test_a_damaged_dataset_still_shows_itself(datasets: Datasets, tmp_path: Path) -> None:
    ds = datasets.put({"image": IMAGE}, name="scan")
    (tmp_path / "store" / "objects" / f"{ds.digest}.h5").unlink()
    assert "are gone" in ds._repr_mimebundle_()["text/html"]
    with pytest.raises(DamagedError):
        ds.thumbnail()


def test_sizes_are_for_people() -> None:
    sizes = [human_size(n) for n in (0, 1023, 1024, 5 << 20, 3 << 30, 2 << 40)]
    assert sizes == ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3.0 GiB", "2.0 TiB"]


# -- pictures


@pytest.mark.parametrize(
    "array",
    [
        np.full((30, 40), np.nan),
        np.full((30, 40), np.inf),
        np.full((30, 40), 7),
        np.array([[1e308, -1e308], [np.nan, np.inf]]),
        np.zeros((1, 1), "f2"),
        np.zeros((1, 5000)),
        np.zeros((5000, 1), bool),
        RNG.random((2, 3, 4, 20, 20)) * 1j,
        RNG.random(10_000),
        np.array([np.nan, np.inf]),
        np.array([5]),
        np.array([1, np.nan, 2, 3]),
        np.array([True, False]),
        np.array([-1e308, 1e308]),
        np.zeros((300, 300), ">i8") - 2**62,
        np.full((9, 9), 2**64 - 1, "u8"),
    ],
    ids=lambda a: f"{a.shape} {a.dtype}",
)
def test_any_array_is_drawn_small(array: np.ndarray) -> None:
    for key in ("image", "mask", "volume"):
        assert max(pixels(picture(array, key)).shape[:2]) <= 256


@pytest.mark.parametrize(
    "array", [np.zeros((0, 5)), np.array(3.0), np.array(["a"]), np.zeros(2, "M8[s]"), np.zeros(3, "i4,f8")]
)
def test_what_has_no_picture_gives_none(array: np.ndarray) -> None:
    assert picture(array) is None


def test_contrast_is_by_percentiles_and_nan_is_transparent() -> None:
    image = np.tile(np.linspace(0, 1, 200), (200, 1))
    image[0, 0] = 1e9
    image[100:120] = np.nan
    drawn = pixels(picture(image, "image"))
    assert drawn.shape == (200, 200, 4)
    assert drawn[50, 10, 0] < 30
    assert drawn[50, 190, 0] > 225
    assert (drawn[110, :, 3] == 0).all()
    assert drawn[50, 50, 3] == 255


def test_colour_and_labels_keep_their_colours() -> None:
    colour = np.zeros((3, 100, 100), "u1")
    colour[0] = 200
    assert pixels(picture(colour, "image"))[50, 50].tolist() == [200, 0, 0]
    assert pixels(picture(colour, "volume")).ndim == 2
    labels = np.repeat(np.arange(6), 20)[None].repeat(120, 0)
    drawn = pixels(picture(labels, "mask"))
    assert len({tuple(drawn[5, x]) for x in range(10, 120, 20)}) == 6


class Counting:
    """A source that counts the bytes read of it."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset, self.shape, self.dtype, self.nbytes = dataset, dataset.shape, dataset.dtype, 0

    def __getitem__(self, index: Any) -> np.ndarray:
        part = np.asarray(self.dataset[index])
        self.nbytes += part.nbytes
        return part


@pytest.mark.parametrize("shape", [(500, 512, 512), (20_000, 30_000), (400_000_000,)])
def test_a_picture_reads_little_of_a_large_array(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        source = Counting(file.create_dataset("a", shape, "u1"))  # never written: takes no room
        assert picture(source) is not None
    assert source.nbytes <= 16 << 20


# -- open files


def test_files_are_kept_open_and_closed_when_there_are_many(tmp_path: Path) -> None:
    for i in range(5):
        hdf5.write(tmp_path / f"{i}.h5", {"x": np.full(3, i)})
    files = OpenFiles(most=2)
    with files.open(tmp_path / "0.h5", "") as first:
        seen = []
        for i in range(5):
            with files.open(tmp_path / f"{i}.h5", "") as file:
                seen.append(file)
                assert file["x"][0] == i
        assert [bool(file) for file in seen] == [True, False, False, True, True]
        assert seen[0] is first
    with h5py.File(tmp_path / "4.h5") as other:  # a user's own way to it is not in the way
        assert other["x"][0] == 4
    hdf5.write(tmp_path / "4.new", {"x": np.full(3, 40)})
    (tmp_path / "4.new").replace(tmp_path / "4.h5")
    with files.open(tmp_path / "4.h5", "") as file:
        assert file["x"][0] == 40
        file.close()
    with files.open(tmp_path / "4.h5", "") as file:
        assert file["x"][0] == 40
    files.forget(tmp_path / "4.h5")
    assert not file
    files.close()
    assert not any(seen)


def test_open_files_serve_many_threads(tmp_path: Path) -> None:
    for i in range(6):
        hdf5.write(tmp_path / f"{i}.h5", {"x": np.full(1000, i)})
    files, problems = OpenFiles(most=1), []

    def read(seed: int) -> None:
        for n in range(60):
            i = (seed * 7 + n) % 6
            with files.open(tmp_path / f"{i}.h5", "") as file:
                if file["x"][500] != i:
                    problems.append((seed, n))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files.close()
    assert not problems


# -- memory

PEAK = """
import sys, resource, numpy as np
from workbench.catalog import Catalog
from workbench.library import Datasets
from workbench.settings import Settings
from workbench.storage.fsspec_store import FsspecStore
store = FsspecStore(sys.argv[1])
store.create_collections(["objects", "datasets"])
datasets = Datasets(store, Catalog.open(f"sqlite:///{sys.argv[1]}/catalog.sqlite"), Settings())
small = datasets.get(datasets.put({"volume": np.zeros((2, 600, 600), "f4")}))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
array = np.ones((48, 1024, 1024), "f4")
given = array[:, ::-1] if sys.argv[2] == "strided" else array
ds = datasets.put({"volume": given})
print((peak() - before) / array.nbytes)
given = None
del array
got = datasets.get(ds)["volume"]
print((peak() - before) / got.nbytes)
"""


@pytest.mark.parametrize("layout", ["whole", "strided"])
def test_put_and_get_take_no_second_copy_in_memory(tmp_path: Path, layout: str) -> None:
    command = [sys.executable, "-c", PEAK, str(tmp_path), layout]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(float(line) <= 1.15 for line in done.stdout.split()), done.stdout


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_compression_makes_it_smaller_and_is_the_same_content(
    datasets: Datasets, tmp_path: Path, compression: Any
) -> None:
    packed = Datasets(datasets._store, datasets._catalog, Settings(compression=compression))
    array = np.tile(np.arange(64, dtype="u2"), (8, 64, 4))
    ds = packed.put({"volume": array})
    assert (tmp_path / "store" / "objects" / f"{ds.digest}.h5").stat().st_size < array.nbytes / 3
    assert np.array_equal(datasets.get(ds)["volume"], array)
    assert datasets.put({"volume": array}).digest == ds.digest


def test_an_absent_dataset_has_no_handle(datasets: Datasets) -> None:
    ds: Dataset = datasets.put({"image": IMAGE})
    datasets.delete(ds)
    with pytest.raises(NotFoundError):
        datasets.find(ds)


def test_a_small_matrix_is_shown_as_numbers_and_an_image_as_a_picture(datasets: Datasets) -> None:
    page = datasets.put({"transform_matrix": np.eye(3), "image": IMAGE})._repr_mimebundle_()["text/html"]
    assert "[[1. 0. 0.]\n [0. 1. 0.]" in page
    assert page.count("data:image/png") == 1
