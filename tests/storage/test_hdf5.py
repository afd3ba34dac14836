"""Dataset files: what is written is read back exactly, and damage is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workbench.errors import DamagedError, InvalidDataError, NotFoundError, StorageFullError
from workbench.storage import hdf5

DTYPES = "? i1 u2 f2 >f4 f8 g i8 >u2 c8 c16 >c16 M8[ns] >M8[s] m8[us] M8 S5 U4 >U3 V7".split()  # noqa: SIM905


def same(given: Any, read: Any, at: str = "") -> None:
    """Assert that two trees are equal in structure, type, dtype, shape and bytes."""
    assert type(given) is type(read), at
    if isinstance(given, dict):
        assert [k for k in sorted(given) if given[k] is not None] == sorted(read), at
        for key in read:
            same(given[key], read[key], f"{at}/{key}")
    elif isinstance(given, (list, tuple)):
        assert len(given) == len(read), at
        for i, (a, b) in enumerate(zip(given, read, strict=True)):
            same(a, b, f"{at}/{i}")
    elif isinstance(given, (np.ndarray, np.generic)):
        assert (given.dtype, given.shape) == (read.dtype, read.shape), at
        if given.dtype.hasobject:
            assert given.tolist() == read.tolist(), at
        else:
            assert given.tobytes() == read.tobytes(), at
    else:
        assert given == read, at


def everything() -> dict[str, Any]:
    """Return a tree with every kind of value."""
    aligned = np.dtype([("a", "i1"), ("b", "f8"), ("c", [("q", "u2", (2, 2))])], align=True)
    return {
        "dates": np.array(["2020-01-01", "NaT"], "M8[D]"),
        "words": np.array([["aé", "b"], ["", "ccc日"]]),
        "objects": np.array(["x", "", "é"], object),
        "record": np.array([(1, 2.5, b"x")], dtype=[("a", "i4"), ("b", "f8"), ("c", "S3")]),
        "record aligned": np.zeros(3, aligned),
        "record of text": np.array([(1, "hé")], dtype=[("a", "i4"), ("n", "U5")]),
        "record of dates": np.array([(1, "2020-01-01")], dtype=[("a", "i4"), ("n", "M8[D]")]),
        "record of bool": np.array([(True, 1j)], dtype=[("a", "?"), ("n", "c8")]),
        "0-d": np.array(3.5),
        "0-d text": np.array("hé"),
        "empty": np.zeros((0, 4), "f4"),
        "empty text": np.zeros(0, "U3"),
        "empty objects": np.zeros((2, 0), object),
        "empty dates": np.zeros(0, "M8[s]"),
        "strided": np.arange(24).reshape(2, 3, 4)[:, ::-1, ::2],
        "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "int": 5,
        "big int": 10**30,
        "uint64": 2**63 + 1,
        "float": float("inf"),
        "bool": True,
        "complex": 1 + 2j,
        "text": "text é",
        "no text": "",
        "bytes": b"\0ab\0",
        "no bytes": b"",
        "float32": np.float32(1.5),
        "numpy bool": np.bool_(True),
        "numpy text": np.str_("abc"),
        "numpy bytes": np.bytes_(b"abc"),
        "date": np.datetime64("2020-01-01"),
        "list": [np.zeros(3), np.ones((2, 2), "u1"), "t", None, {"x": 1}],
        "many": [np.full(2, i) for i in range(12)],
        "tuple": (1024, 1024),
        "dict": {"a": {"b": np.zeros(2)}, "n": {}, "none": None},
        "no list": [],
        "none": None,
    }


@pytest.mark.parametrize("compression", ["none", "gzip", "lzf"])
def test_every_kind_of_value_comes_back_exactly(tmp_path: Path, compression: str) -> None:
    tree = everything()
    digest, keys = hdf5.write(tmp_path / "a.h5", tree, compression=compression)
    same(tree, hdf5.read(tmp_path / "a.h5"))
    hdf5.verify(tmp_path / "a.h5", digest)
    assert "none" not in keys
    assert set(keys) == {key for key, value in tree.items() if value is not None}


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_arrays_of_any_dtype_and_shape_come_back_exactly(
    tmp_path: Path, dtype: str, data: st.DataObject
) -> None:
    kind = np.dtype(dtype)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
    elements = text if kind.kind == "U" else None
    if kind.kind in "gV" or kind.char == "g":
        array = np.zeros(shape, kind)
    else:
        array = data.draw(hnp.arrays(kind, shape, elements=elements))
    digest, keys = hdf5.write(tmp_path / "a.h5", {"x": array})
    same({"x": array}, hdf5.read(tmp_path / "a.h5"))
    hdf5.verify(tmp_path / "a.h5", digest)
    assert keys["x"].shape == shape


@pytest.mark.parametrize("order", ["C", "F", "reversed", "transposed", "one row", "memmap"])
def test_large_arrays_of_any_layout_come_back_exactly(tmp_path: Path, order: str) -> None:
    array = np.random.default_rng(0).random((7, 600, 700), np.float32)
    given = {
        "C": array,
        "F": np.asfortranarray(array),
        "reversed": array[::-1, :, ::2],
        "transposed": array.transpose(2, 0, 1),
        "one row": array[None, None, ::-1],
        "memmap": np.memmap(tmp_path / "m", "f4", "w+", shape=(7, 600, 700)),
    }[order]
    digest, _ = hdf5.write(tmp_path / "a.h5", {"x": given, "y": 1})
    read = hdf5.read(tmp_path / "a.h5", threads=3)["x"]
    assert np.array_equal(read, given)
    assert read.flags.writeable
    hdf5.verify(tmp_path / "a.h5", digest)
    with h5py.File(tmp_path / "a.h5") as file:  # plain HDF5 for everyone else
        assert np.array_equal(file["x"][-1, ::50], given[-1, ::50])


def test_the_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    array = np.arange(60, dtype="f4").reshape(3, 4, 5)

    def digest(tree: dict[str, Any], **options: Any) -> str:
        return hdf5.write(tmp_path / "a.h5", tree, **options)[0]

    first = digest({"a": array, "b": 1})
    assert first == digest({"b": 1, "a": np.asfortranarray(array), "c": None}, compression="gzip")
    others = [
        {"a": array, "b": 2},
        {"a": array, "b": 1.0},
        {"a": array, "b": True},
        {"a": array, "c": 1},
        {"a": array.astype(">f4"), "b": 1},
        {"a": array.view("i4"), "b": 1},
        {"a": array.reshape(4, 3, 5), "b": 1},
        {"a": list(array), "b": 1},
        {"a": tuple(array), "b": 1},
        {"a": {"b": array}, "b": 1},
    ]
    assert len({first, *map(digest, others)}) == len(others) + 1


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"x": np.arange(24.0).reshape(4, 6), "y": 1, "z": {"a": ["t", None, 2.5], "b": b"raw"}},
        {"x": np.arange(24.0).reshape(4, 6).T, "text": np.array(["ä", "b"])},
        {"x": np.arange(1 << 19, dtype=np.float64)},
        {"x": np.asfortranarray(np.arange(3 << 19, dtype=np.float64).reshape(3, -1)), "y": np.float32(2)},
    ],
)
def test_the_digest_is_known_without_writing(tmp_path: Path, tree: dict[str, Any]) -> None:
    assert hdf5.digest(tree) == hdf5.write(tmp_path / "a.h5", tree)[0]


def test_torch_tensors_become_arrays(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(6.0).reshape(2, 3)
    tree = {
        "grad": base.clone().requires_grad_(),
        "half": base.half(),
        "bf16": base.bfloat16(),
        "view": base.t(),
        "bool": base > 2,
        "conj": (base + 1j * base).conj(),
        "scalar": torch.tensor(3),
    }
    hdf5.write(tmp_path / "a.h5", tree)
    read = hdf5.read(tmp_path / "a.h5")
    dtypes = {key: str(value.dtype) for key, value in read.items()}
    assert dtypes == {
        "grad": "float32", "half": "float16", "bf16": "float32", "view": "float32", "bool": "bool",
        "conj": "complex64", "scalar": "int64",
    }  # fmt: skip
    assert read["bf16"].tolist() == base.tolist()
    assert read["view"].tolist() == base.t().tolist()
    assert read["conj"][1, 2] == 5 - 5j
    with pytest.raises(InvalidDataError, match="to_dense"):
        hdf5.write(tmp_path / "b.h5", {"s": base.to_sparse()})


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"a/b": 1}, "'a_b'"),
        ({"": 1}, "non-empty"),
        ({3: 1}, "'3'"),
        ({"d": {"x": {1, 2}}}, "d/x is a set"),
        ({"x": np.array([1, "a"], object)}, "object array that holds an int"),
        ({"x": np.array([b"a"], object)}, r"x.astype\('S'\)"),
        ({"x": np.ma.masked_array([1, 2], [True, False])}, "x.filled"),
        ({"x": "a\0b"}, "NUL"),
        ({"x": "\ud800"}, "not valid Unicode"),
        ({"x": np.array(["\ud800"])}, "not valid Unicode"),
        ({"x": [1, {"y": object()}]}, "x/1/y is an object"),
        ({"x": np.array([(1, None)], dtype=[("a", "i4"), ("b", object)])}, "keys of their own"),
        ([1, 2], "not list"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_key(tmp_path: Path, tree: Any, says: str) -> None:
    with pytest.raises(InvalidDataError, match=says):
        hdf5.write(tmp_path / "a.h5", tree)


def test_only_the_keys_asked_for_are_read(tmp_path: Path) -> None:
    hdf5.write(tmp_path / "a.h5", {"image": np.ones((4, 4)), "mask": np.zeros((4, 4), bool)})
    assert list(hdf5.read(tmp_path / "a.h5", ["mask"])) == ["mask"]
    with pytest.raises(NotFoundError, match="no key 'imag'; it has 'image', 'mask'") as caught:
        hdf5.read(tmp_path / "a.h5", ["imag"], what="Dataset 'x'")
    assert caught.value.near == ["image"]


def test_a_file_object_reads_the_same(tmp_path: Path) -> None:
    tree = {"x": np.random.default_rng(0).random((3, 200, 200)), "t": "text"}
    hdf5.write(tmp_path / "a.h5", tree)
    content = (tmp_path / "a.h5").read_bytes()
    asked: list[int] = []

    def read_at(at: int, buffer: memoryview) -> None:
        asked.append(len(buffer))
        buffer[:] = content[at : at + len(buffer)]

    with (tmp_path / "a.h5").open("rb") as file:
        same(tree, hdf5.read(file))
    with (tmp_path / "a.h5").open("rb") as file:
        same(tree, hdf5.read(file, read_at=read_at))
    assert asked == [tree["x"].nbytes]


def test_damaged_files_say_so(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    array = np.arange(1_000_000, dtype="f4").reshape(10, -1)
    digest, _ = hdf5.write(path, {"x": array})
    content = bytearray(path.read_bytes())

    path.write_bytes(b"PK\x03\x04 this is a zip")
    with pytest.raises(DamagedError, match=r"Dataset 'scan' is not a whole HDF5 file.*backup"):
        hdf5.read(path, what="Dataset 'scan'")
    for length in (0, 100, 5_000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedError):
            hdf5.read(path)
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    hdf5.read(path)
    with pytest.raises(DamagedError, match="digest"):
        hdf5.verify(path, digest)
    with pytest.raises(NotFoundError, match="is not there"):
        hdf5.read(tmp_path / "absent.h5")


def test_a_file_of_another_program_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["entry/data"] = np.arange(40_000, dtype=">i4").reshape(200, 200)
        file["entry/title"] = "a title"
        file["entry/names"] = ["a", "bé"]
        file["chunked"] = np.ones(3)
        file.create_dataset("gz", data=np.eye(50), compression="gzip", chunks=(10, 10))
        file.create_dataset("flag", data=np.array([True, False]))
    read = hdf5.read(tmp_path / "a.h5")
    assert read["entry"]["title"] == "a title"
    assert read["entry"]["names"].tolist() == ["a", "bé"]
    assert read["entry"]["data"].dtype == ">i4"
    assert read["entry"]["data"][199, 199] == 39_999
    assert np.array_equal(read["gz"], np.eye(50))
    assert read["flag"].dtype == bool
    digest, _ = hdf5.write(tmp_path / "b.h5", read)
    same(read, hdf5.read(tmp_path / "b.h5"))
    hdf5.verify(tmp_path / "b.h5", digest)


def test_small_content_takes_little_room(tmp_path: Path) -> None:
    for shape, most in [((64, 64), 8 << 10), ((1024, 1024), 64 << 10), ((24, 1024, 1024), 512 << 10)]:
        array = np.ones(shape, "f4")
        hdf5.write(tmp_path / "a.h5", {"image": array})
        assert (tmp_path / "a.h5").stat().st_size <= array.nbytes + most


def test_a_full_disk_says_so() -> None:
    with pytest.raises(StorageFullError, match="No space is left"), hdf5._storage_errors(Path("x.h5")):
        Path("/dev/full").write_bytes(b"x" * 10_000)
