"""Datasets of a workspace: put, get, find, list, change, delete."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.catalog import Catalog
from workbench.errors import (
    DamagedError,
    InUseError,
    InvalidDataError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
)
from workbench.library import Dataset, Datasets
from workbench.models import RunRecord, RunStatus, now
from workbench.names import new_id
from workbench.schemas import DataSchema, ImageSchema, MeshSchema, SegmentationSchema
from workbench.settings import Settings
from workbench.storage.fsspec_store import FsspecStore


def make(url: str, folder: Path, **options: Any) -> Datasets:
    """Return the datasets of a store, with a catalog in a folder."""
    store = FsspecStore(url, options or None)
    store.create_collections(["objects", "datasets"])
    return Datasets(store, Catalog.open(f"sqlite:///{folder}/catalog.sqlite"), Settings())


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    found = make(str(tmp_path / "store"), tmp_path)
    yield found
    found._catalog.close()


@pytest.fixture(params=["folder", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Datasets]:
    options = {}
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        url, options = s3.new_url(), s3.storage_options
    else:
        url = str(tmp_path / "store") if request.param == "folder" else f"memory://{uuid.uuid4().hex}"
    found = make(url, tmp_path, **options)
    yield found
    found._catalog.close()


def image(seed: int = 0, shape: tuple[int, ...] = (8, 9)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def test_what_is_put_is_got_anywhere(anywhere: Datasets) -> None:
    stack = image(shape=(5, 200, 300))
    ds = anywhere.put(
        {"volume": stack, "n": 3, "names": ["a", "b"]}, name="scan", tags=["x"], attributes={"um": 0.1}
    )
    assert np.array_equal(anywhere.get(ds.id, "volume")["volume"], stack)
    assert anywhere.get("scan")["names"] == ["a", "b"]
    with anywhere.open(ds) as file:
        assert np.array_equal(file["volume"][3, ::50], stack[3, ::50])
    assert anywhere.find("scan") == ds
    assert (ds.keys["volume"].shape, ds.tags, ds.attributes) == ((5, 200, 300), ("x",), {"um": 0.1})
    assert [d.id for d in anywhere.list(tag="x")] == [ds.id]
    assert list(anywhere.records()) == [ds.record]
    anywhere.delete(ds)
    assert not list(anywhere._store.list("objects"))
    assert not anywhere.exist([ds.id])[0]


def test_only_the_keys_asked_for_are_read(datasets: Datasets) -> None:
    ds = datasets.put({"image": image(), "mask": image() > 0.5}, ImageSchema)
    assert list(datasets.get(ds, "mask")) == ["mask"]
    with pytest.raises(NotFoundError, match=r"has no key 'imag'. Did you mean 'image'") as caught:
        datasets.get(ds, "imag")
    assert caught.value.near == ["image"]


def test_equal_content_is_stored_once_and_kept_while_needed(datasets: Datasets) -> None:
    first, second = (datasets.put({"image": image()}) for _ in range(2))
    assert first.id != second.id
    assert first.digest == second.digest
    assert len(list(datasets._store.list("objects"))) == 1
    datasets.delete(first)
    assert np.array_equal(datasets.get(second)["image"], image())
    datasets.delete(second)
    assert not list(datasets._store.list("objects"))


def test_a_name_means_the_newest_and_an_unknown_one_gets_near_names(datasets: Datasets) -> None:
    datasets.put({"image": image(0)}, name="scan-7")
    newer = datasets.put({"image": image(1)}, name="scan-7")
    assert datasets.find("scan-7") == newer
    assert datasets.names("sc") == ["scan-7"]
    with pytest.raises(NotFoundError, match="Did you mean 'scan-7'"):
        datasets.find("scan7")
    with pytest.raises(NotFoundError):
        datasets.find("scan*")
    with pytest.raises(NotFoundError, match=r"ws.datasets.list\(\)"):
        datasets.find(new_id())
    with pytest.raises(InvalidInputError, match=r"ws.datasets.put\(\{'image': array\}\)"):
        datasets.find(image())  # type: ignore[arg-type]


def test_nothing_is_stored_when_one_of_many_does_not_fit(datasets: Datasets) -> None:
    good, bad = {"image": image()}, {"image": image().astype("i4")}
    with pytest.raises(InvalidDataError, match="Dataset 2 of 2: image is int32") as caught:
        datasets.put_many([good, bad], ImageSchema)
    assert caught.value.key == "image"
    with pytest.raises(InvalidDataError, match=r"^image is int32"):
        datasets.check_many([bad], ImageSchema)
    with pytest.raises(InvalidDataError, match="Dataset 2 of 2: image is int32"):
        datasets.check_many([good, bad], ImageSchema)
    with pytest.raises(InvalidDataError, match="x is a set"):
        datasets.put({"x": {1}})
    assert not list(datasets._store.list("objects"))
    assert not datasets.list()


@pytest.mark.parametrize(
    ("facts", "error", "says"),
    [
        ({"name": "a/b"}, InvalidNameError, "Dataset name 'a/b'"),
        ({"tags": ["ok", "not ok"]}, InvalidNameError, "Tag 'not ok'"),
        ({"attributes": {"a": np.ones(3)}}, InvalidInputError, "put arrays into the data"),
        ({"attributes": {"a": float("nan")}}, InvalidInputError, "attributes"),
        ({"schema": "ImageShema"}, NotFoundError, "Did you mean 'ImageSchema'"),
    ],
)
def test_wrong_facts_are_refused_before_anything_is_stored(
    datasets: Datasets, facts: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        datasets.put({"image": image()}, **facts)
    assert not list(datasets._store.list("objects"))


def test_many_are_put_and_got_in_order(datasets: Datasets) -> None:
    data = [{"image": image(i)} for i in range(12)]
    made = datasets.put_many(data, ImageSchema, names=[f"s{i}" for i in range(12)], parallel=True)
    found = datasets.get_many([m.id for m in made], "image", parallel=True)
    assert all(np.array_equal(f["image"], d["image"]) for f, d in zip(found, data, strict=True))
    assert [d.id for d in datasets.list(order="created")] == [m.id for m in made]
    assert datasets.find_many([made[3].id, new_id(), made[1].id]) == [made[3], made[1]]
    assert datasets.exist([made[0].id, "no id", new_id()]) == [True, False, False]


def test_reading_validates_and_gives_none_for_what_is_optional(datasets: Datasets) -> None:
    ds = datasets.put({"image": image()}, ImageSchema)
    got = datasets.fetch([ds], ImageSchema, "image", "mask")
    assert got[0]["mask"] is None
    assert set(datasets.fetch([ds], ImageSchema)[0]) == {"image", "mask", "points"}
    assert set(datasets.get(ds, schema=ImageSchema)) == {"image"}
    with pytest.raises(InvalidDataError, match="image is not a key of MeshSchema"):
        datasets.get(ds, schema=MeshSchema)
    with pytest.raises(InvalidDataError, match="mask is missing"):
        datasets.fetch([ds], SegmentationSchema, "mask")


def test_schemas_of_users_work(datasets: Datasets) -> None:
    class Part(DataSchema):
        residuals: np.ndarray | None = None

    class Spectrum(DataSchema):
        counts: np.ndarray
        parts: list[np.ndarray]
        fit: Part | None = None
        label: str = "none"
        window: tuple[int, int] = (1, 2)

    ds = datasets.put(
        {"counts": image(), "parts": [image(1), image(2)], "fit": Part(residuals=image(3))}, Spectrum
    )
    got = datasets.get(ds, schema=Spectrum)
    assert ds.schema_name == "Spectrum"
    assert (got["label"], got["window"], len(got["parts"])) == ("none", (1, 2), 2)
    assert np.array_equal(got["fit"]["residuals"], image(3))


def test_torch_tensors_pass_the_schemas(datasets: Datasets) -> None:
    torch = pytest.importorskip("torch")
    ds = datasets.put(
        {"image": torch.ones(4, 5, requires_grad=True), "points": [torch.zeros(2, 2)]}, ImageSchema
    )
    assert datasets.get(ds)["image"].dtype == np.float32


def test_facts_are_changed_and_the_rest_stays(datasets: Datasets) -> None:
    ds = datasets.put({"image": image()}, name="old", tags=["a"], attributes={"x": 1})
    new = datasets.update(ds, tags=["b", "b"], attributes={"y": np.float32(2)})
    assert (new.id, new.name, new.tags, new.attributes) == (ds.id, "old", ("b",), {"y": 2.0})
    assert datasets.update("old", name=None).name is None
    assert next(iter(datasets.records())) == datasets.find(ds).record
    with pytest.raises(NotFoundError):
        datasets.find("old")
    assert not datasets.list(tag="a")


def test_a_listing_is_paged_and_filtered(datasets: Datasets) -> None:
    made = [datasets.put({"image": image(i)}, ImageSchema, name=f"scan-{i}") for i in range(5)]
    page = datasets.list(limit=2)
    assert [d.name for d in page] == ["scan-4", "scan-3"]
    assert [d.id for d in page.all()] == [d.id for d in reversed(made)]
    assert len(datasets.list(name="scan-?", schema=ImageSchema, since=timedelta(hours=1))) == 5
    assert not datasets.list(until=timedelta(hours=1))
    assert "scan-4" in repr(page)
    assert "(8, 9) float32" in page._repr_html_()


def run_on(dataset: Dataset) -> RunRecord:
    return RunRecord(
        id=new_id(),
        algorithm="a@1.0",
        algorithm_name="a",
        status=RunStatus.COMPLETED,
        inputs=(dataset.id,),
        created=now(),
    )


def test_what_a_run_read_is_deleted_only_by_force(datasets: Datasets) -> None:
    ds = datasets.put({"image": image()})
    run = run_on(ds)
    datasets._catalog.put_run(run)
    with pytest.raises(InUseError, match=f"{run.id}.*force=True") as caught:
        datasets.delete(ds)
    assert caught.value.users == (run.id,)
    assert datasets.exist([ds.id]) == [True]
    datasets.delete(ds, force=True)
    assert datasets.exist([ds.id]) == [False]


def test_damage_names_the_dataset(datasets: Datasets, tmp_path: Path) -> None:
    ds = datasets.put({"image": image(shape=(600, 600))}, name="scan")
    path = tmp_path / "store" / "objects" / f"{ds.digest}.h5"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedError, match=r"Dataset 'scan'.*not a whole HDF5 file"):
        datasets.get(ds)
    path.unlink()
    for use in (lambda: datasets.get(ds), lambda: ds.open().__enter__()):
        with pytest.raises(DamagedError, match=r"arrays of Dataset 'scan'.*are gone.*put the data again"):
            use()
    datasets._store.put("datasets", "broken.json", b"{")
    with pytest.warns(UserWarning, match="broken.json is damaged"):
        assert [r.id for r in datasets.records()] == [ds.id]


def test_readers_in_threads_do_not_disturb_each_other(datasets: Datasets) -> None:
    ds = datasets.put({"image": image(shape=(50, 40, 40))})
    problems: list[BaseException] = []

    def read(seed: int) -> None:
        try:
            for i in range(40):
                with datasets.open(ds) as file:
                    assert np.array_equal(
                        file["image"][(seed + i) % 50], image(shape=(50, 40, 40))[(seed + i) % 50]
                    )
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


RACER = """
import sys, numpy as np
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from workbench.catalog import Catalog
from workbench.library import Datasets
from workbench.settings import Settings
from workbench.storage.fsspec_store import FsspecStore
store = FsspecStore(sys.argv[2])
datasets = Datasets(store, Catalog.open(f"sqlite:///{sys.argv[3]}/catalog.sqlite"), Settings())
kept = []
for i in range(15):
    ds = datasets.put({"image": np.zeros((4, 4))})
    datasets.get(ds)
    if i % 3:
        datasets.delete(ds)
    else:
        datasets.get(ds)
        if i % 6: datasets.delete(ds)
print(ds.digest)
"""


def test_processes_that_put_and_delete_the_same_content_never_lose_it(
    datasets: Datasets, tmp_path: Path
) -> None:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", RACER, root, str(tmp_path / "store"), str(tmp_path)]
    racers = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(2)
    ]
    assert [(r.communicate()[1], r.returncode) for r in racers] == [("", 0)] * len(racers)
    left = list(datasets.list(limit=100).all())
    assert all(not datasets.get(ds)["image"].any() for ds in left)
    for ds in left:
        datasets.delete(ds)
    assert not list(datasets._store.list("objects"))


@pytest.mark.parametrize("moment", range(4))
def test_a_delete_at_any_moment_of_a_put_loses_nothing(
    datasets: Datasets, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = datasets.put({"image": image()})
    store, catalog = datasets._store, datasets._catalog
    other = Datasets(store, catalog, Settings())
    place, name = [(store, "stage"), (store, "put_many"), (catalog, "put_datasets"), (store, "exist")][moment]
    real = getattr(place, name)
    calls: list[str] = []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if not calls:
            calls.append(name)
            other.delete(first)
        return real(*args, **kwargs)

    monkeypatch.setattr(place, name, interrupted)
    second = datasets.put({"image": image()})
    assert calls
    assert np.array_equal(datasets.get(second)["image"], image())


def test_a_lock_of_a_dead_process_is_taken_away(datasets: Datasets, tmp_path: Path) -> None:
    ds = datasets.put({"image": image()})
    lock = tmp_path / "store" / "objects" / f"{ds.digest}.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    datasets.put({"image": image()})
    assert not lock.exists()


def _got(datasets: Datasets, id: str, *keys: str) -> dict[str, Any]:
    return datasets.get(id, *keys)


def _got_of_many(datasets: Datasets, id: str, *keys: str) -> dict[str, Any]:
    return datasets.get_many([id], *keys)[0]


def _fetched(datasets: Datasets, id: str, *keys: str) -> dict[str, Any]:
    return datasets.fetch([id], DataSchema, *keys)[0]


@pytest.mark.parametrize("reading", [_got, _got_of_many, _fetched])
def test_what_is_read_is_mapped_and_its_changes_stay_its_own(
    anywhere: Datasets, reading: Callable[..., dict[str, Any]]
) -> None:
    image = np.random.default_rng(0).random((512, 512))
    kept = anywhere.put({"image": image, "small": np.arange(4)})
    first = reading(anywhere, kept.id, "image", "small")
    second = reading(anywhere, kept.id, "image")
    np.testing.assert_array_equal(first["image"], image)
    if anywhere._store.is_local:
        assert type(_owner(first["image"])).__name__ == "_Pages"
    first["image"][:] = 0
    np.testing.assert_array_equal(second["image"], image)
    np.testing.assert_array_equal(anywhere.get(kept.id, "image")["image"], image)
    anywhere.delete(kept.id)
    np.testing.assert_array_equal(second["image"], image)  # outlives the dataset
    assert first["small"].tolist() == [0, 1, 2, 3]


def test_what_is_asked_for_in_memory_is_in_no_file(datasets: Datasets) -> None:
    kept = datasets.put({"image": np.ones((512, 512))})
    for found in (datasets.get(kept.id, mapped=False), *datasets.get_many([kept.id], mapped=False)):
        assert type(_owner(found["image"])).__name__ != "_Pages"
        assert found["image"].all()


def test_a_stack_of_many_slices_is_mapped_without_as_many_open_files(datasets: Datasets) -> None:
    resource = pytest.importorskip("resource")
    slices = datasets.put_many([{"image": np.full((512, 512), i, np.float32)} for i in range(60)])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 25, hard))
    try:
        fetched = datasets.fetch([ds.id for ds in slices], DataSchema, "image")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [data["image"][0, 0] for data in fetched] == list(range(60))


def _owner(array: np.ndarray) -> object:
    """Return what holds the memory of an array."""
    owner: object = array
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    return owner


def test_what_cannot_be_mapped_is_fetched_once(anywhere: Datasets) -> None:
    if anywhere._store.is_local:
        anywhere = Datasets(anywhere._store, anywhere._catalog, Settings(compression="lzf"))
    flat = np.zeros((64, 128, 128), np.uint16)
    kept = anywhere.put({"image": flat, "label": "dark"})
    for _ in range(3):
        assert np.array_equal(anywhere.fetch([kept.id], DataSchema, "image")[0]["image"], flat)
    assert (anywhere.cache.hits, anywhere.cache.misses) == (2, 1)
    assert anywhere.fetch([kept.id], DataSchema, "label", "image")[0]["label"] == "dark"
