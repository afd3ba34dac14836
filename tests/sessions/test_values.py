"""What can lie in a session: everything comes back as it was, without a copy where it is large."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from workbench.errors import InvalidNameError
from workbench.sessions import Session, Sessions

STRUCT = np.dtype([("x", "<f4"), ("name", "S5"), ("when", "<M8[s]")])


@pytest.fixture
def s(sessions: Sessions) -> Session:
    return sessions.open("values")


ARRAYS: dict[str, Callable[[], np.ndarray]] = {
    "bool": lambda: np.array([True, False]),
    "complex": lambda: np.array([1 + 2j, 3], np.complex64),
    "float16": lambda: np.arange(5, dtype=np.float16),
    "big endian": lambda: np.arange(5, dtype=">f8"),
    "dates": lambda: np.array(["2020-01-01", "NaT"], "M8[D]"),
    "durations": lambda: np.array([1, 2], "m8[ms]"),
    "structured": lambda: np.array([(1.5, b"a", "2020-01-01"), (2.5, b"bc", "NaT")], STRUCT),
    "bytes": lambda: np.array([b"a", b"bcd"]),
    "text": lambda: np.array(["a", "größe"]),
    "objects": lambda: np.array([1, "a", None], object),
    "0-d": lambda: np.array(3.5),
    "empty": lambda: np.empty((0, 3), np.int16),
    "no text": lambda: np.array([""], "U0"),
    "strided": lambda: np.arange(40)[::3],
    "Fortran": lambda: np.asfortranarray(np.arange(12).reshape(3, 4)),
    "transposed": lambda: np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "negative strides": lambda: np.arange(10)[::-1],
    "read-only": lambda: np.broadcast_to(np.float32(2), (3, 4)),
    "large": lambda: np.arange(100_000, dtype=np.float32).reshape(100, 1000),
    "large Fortran": lambda: np.asfortranarray(np.arange(100_000.0).reshape(100, 1000)),
    "large objects": lambda: np.array([("x" * 100, n) for n in range(2000)], object),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_as_it_was_and_writable(s: Session, name: str) -> None:
    array = ARRAYS[name]()
    s["k"] = array
    got = s["k"]
    assert type(got) is np.ndarray
    assert (got.dtype, got.shape, got.flags.writeable) == (array.dtype, array.shape, True)
    only = s.get("k", mode="r")
    assert got.tolist() == only.tolist() == array.tolist()
    if not array.dtype.hasobject:
        assert not only.flags.writeable
        assert only.digest == s.digest("k")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    npst.arrays(npst.scalar_dtypes(), npst.array_shapes(min_dims=0, min_side=0, max_side=6)), st.booleans()
)
def test_any_array_of_any_layout_comes_back(s: Session, array: np.ndarray, turned: bool) -> None:
    given = array.T if turned else array
    s["k"] = given
    got = s["k"]
    assert (got.dtype, got.shape) == (given.dtype, given.shape)
    assert got.tobytes() == given.tobytes()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner)
        ),
        max_leaves=20,
    ),
    st.text(min_size=1, max_size=300),
)
def test_any_plain_value_comes_back_under_any_key(s: Session, value: Any, key: str) -> None:
    s[key] = value
    assert s[key] == value
    assert key in s.keys()  # noqa: SIM118 - the listing itself is looked at
    del s[key]
    assert key not in s


@pytest.mark.parametrize(
    "key", ["a/b", "..", ".", "größe", "A", "x" * 300, "日本" * 150, "a%41", "\0", "line\n", "\ud800"]
)
def test_any_text_is_a_key(s: Session, key: str) -> None:
    s[key] = 1
    s[key + "2"] = 2
    assert (s[key], s[key + "2"]) == (1, 2)
    assert s.keys() == sorted([key, key + "2"])


def test_keys_that_differ_in_capitals_or_composition_are_two(s: Session) -> None:
    for number, key in enumerate(["a", "A", "\u00e9", "e\u0301"]):
        s[key] = number
    assert [s[k] for k in ["a", "A", "\u00e9", "e\u0301"]] == [0, 1, 2, 3]


def test_a_key_that_is_no_text_is_refused(s: Session) -> None:
    with pytest.raises(ValueError, match=r"Item key is 3, expected text"):
        s[3] = 1  # type: ignore[index]


def test_an_empty_key_is_refused(s: Session) -> None:
    with pytest.raises(InvalidNameError, match=r"nobody would find again. Give it a name such as 'volume'"):
        s[""] = 1
    with pytest.raises(InvalidNameError):
        s.empty("", (2,), "float32")
    assert "" not in s
    assert list(s.keys()) == []


def torch_dtypes() -> list[str]:
    torch = pytest.importorskip("torch")
    names = {str(v).removeprefix("torch.") for v in vars(torch).values() if isinstance(v, torch.dtype)}
    not_whole_bytes = re.compile(r"q|bits|u?int[1-7]$")  # quantized, or made for a compiler only
    return sorted(n for n in names if not not_whole_bytes.match(n))


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("shape", [(3, 4), (), (0, 2), (200, 300)])
def test_tensors_of_every_dtype_come_back(s: Session, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    names = torch_dtypes()
    assert {"bfloat16", "bool", "complex64", "float8_e4m3fn", "float16", "int64"} <= set(names)
    for name in names:
        dtype = getattr(torch, name)
        width = torch.empty(0, dtype=dtype).element_size()
        raw = torch.arange(int(np.prod(shape)) * width, dtype=torch.uint8) % 2
        tensor = raw.view(dtype).reshape(shape) if raw.numel() else torch.empty(shape, dtype=dtype)
        s[name] = tensor
        got = s[name]
        assert (got.dtype, got.shape) == (dtype, tensor.shape), name
        if raw.numel():
            assert torch.equal(got.reshape(-1).view(torch.uint8), raw), name


def test_tensors_keep_what_they_are_and_may_be_strided_or_conjugate(s: Session) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(12.0).reshape(3, 4)
    s["weights"] = {"w": torch.nn.Parameter(base), "t": base.T, "c": torch.complex(base, base).conj()}
    s["leaf"] = torch.ones(3, requires_grad=True)
    got = s["weights"]
    assert isinstance(got["w"], torch.nn.Parameter)
    assert torch.equal(got["t"], base.T)
    assert torch.equal(got["c"], torch.complex(base, -base))
    assert s["leaf"].requires_grad


def test_a_tensor_that_was_asked_for_to_be_read_may_be_written_without_harm(s: Session) -> None:
    torch = pytest.importorskip("torch")
    s["t"] = torch.zeros(100_000)
    s.get("t", mode="r")[:] = 5  # tensors know no read-only: the write stays here
    assert s["t"].sum() == 0


def test_a_module_comes_back(s: Session) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(300, 300), torch.nn.ReLU())
    s["model"] = model
    x = torch.ones(2, 300)
    assert torch.equal(s["model"](x), model(x))


def test_frames_come_back(s: Session) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {"a": np.arange(50_000), "b": np.random.default_rng(0).random(50_000), "c": ["x", "y"] * 25_000}
    )
    frame["when"] = pd.Timestamp("2020-01-01")
    frame["kind"] = frame["c"].astype("category")
    s["frame"] = frame
    pd.testing.assert_frame_equal(s["frame"], frame)
    pd.testing.assert_series_equal(s.get("frame", mode="r")["b"], frame["b"])
    got = s["frame"]
    got.loc[0, "b"] = 7.0
    assert got.loc[0, "b"] == 7.0


@dataclasses.dataclass
class Fit:
    name: str
    points: np.ndarray


def test_nested_structures_share_what_they_shared(s: Session) -> None:
    points = np.arange(20_000.0)
    value = {"fits": [Fit("a", points), Fit("b", points)], "mask": points > 3, "n": 3}
    s["v"] = value
    got = s["v"]
    assert got["fits"][0].points is got["fits"][1].points
    np.testing.assert_array_equal(got["mask"], value["mask"])
    assert got["n"] == 3


def test_matrices_masked_arrays_and_memory_maps_come_back(s: Session, tmp_path: Any) -> None:
    s["masked"] = np.ma.masked_array([1, 2, 3], [0, 1, 0])
    assert s["masked"].sum() == 4
    np.save(tmp_path / "a.npy", np.arange(30_000))
    s["map"] = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert type(s["map"]) is np.ndarray
    assert s["map"][-1] == 29_999


def test_a_large_array_is_not_copied_and_stays_private(s: Session) -> None:
    s["k"] = np.zeros(1_000_000, np.float32)
    first, second = s["k"], s["k"]
    first[:] = 1
    assert (second.sum(), s["k"].sum()) == (0, 0)
    assert first.ctypes.data % 64 == 0


def test_the_digest_is_of_the_content_and_not_of_its_layout(s: Session) -> None:
    array = np.random.default_rng(0).random((300, 400))
    s["c"], s["f"], s["other"] = array, np.asfortranarray(array), array + 1
    digests = [s.get(k, mode="r").digest for k in ("c", "f", "other")]
    assert digests[0] == digests[1] != digests[2]
    assert (s.get("c", mode="r") + 1).tobytes() == s["other"].tobytes()
    assert s.get("c", mode="r")[3:].digest is None
    s["again"] = s.get("c", mode="r")
    assert type(s["again"]) is np.ndarray


def test_a_remembered_digest_is_that_of_the_present_content(s: Session) -> None:
    for number in range(4):  # memory is used again: a digest must not be
        s["k"] = np.full(50_000, number)
        assert s.digest("k") == s.get("k", mode="r").digest
        assert s.digest("k") == s.digest("k")
    assert len({s.digest("k")}) == 1
    s["zero"] = np.full(50_000, 3)
    assert s.digest("zero") == s.digest("k")
