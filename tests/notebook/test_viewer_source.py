"""Slices out of arrays that may be far larger than memory."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from workbench.errors import InvalidDataError
from workbench.notebook.viewer_source import Layout, Slices, layout_of, looks_like_labels


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 4000, (6, 50, 70)).astype(np.uint16)


@pytest.fixture
def file(tmp_path: Path, volume: np.ndarray) -> h5py.File:
    with h5py.File(tmp_path / "volume.h5", "w") as made:
        made["plain"] = volume
        made.create_dataset("packed", data=volume, chunks=(1, 50, 70), compression="gzip")
    return h5py.File(tmp_path / "volume.h5")


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((5, 6), Layout((), "", 5, 6)),
        ((40, 5, 6), Layout((40,), "", 5, 6)),
        ((3, 64, 65), Layout((), "first", 64, 65)),
        ((9, 3, 64, 65), Layout((9,), "first", 64, 65)),
        ((64, 65, 3), Layout((), "last", 64, 65)),
        ((2, 64, 65, 4), Layout((2,), "last", 64, 65)),
        ((2, 7, 64, 65), Layout((2, 7), "", 64, 65)),
        ((3, 3, 3), Layout((3,), "", 3, 3)),
        ((7,), None),
        ((), None),
        ((0, 5, 5), None),
    ],
)
def test_the_shape_tells_slices_and_colour(shape: tuple[int, ...], layout: Layout | None) -> None:
    assert layout_of(shape) == layout


def test_three_slices_are_no_colour_when_told_so() -> None:
    assert layout_of((3, 64, 64), colour=False) == Layout((3,), "", 64, 64)
    with pytest.raises(InvalidDataError, match=r"3 channels first"):
        layout_of((5, 64, 64), colour=True)


@pytest.mark.parametrize("key", ["plain", "packed"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_of_a_file_along_any_axis_are_those_of_the_array(
    file: h5py.File, volume: np.ndarray, key: str, axis: int
) -> None:
    slices = Slices(lambda: file[key], axis)
    assert slices.count == volume.shape[axis]
    for index in (0, slices.count - 1):
        np.testing.assert_array_equal(slices.load(index), np.take(volume, index, axis))
        assert slices.value(index, 2, 3) == np.take(volume, index, axis)[2, 3]


def test_leading_axes_run_under_one_slider() -> None:
    array = np.arange(2 * 5 * 6 * 7).reshape(2, 5, 6, 7)
    slices = Slices(lambda: array)
    assert slices.count == 10
    assert slices.position(7) == (1, 2)
    np.testing.assert_array_equal(slices.load(7), array[1, 2])


def test_colour_first_is_shown_as_colour_last() -> None:
    array = np.random.default_rng(0).integers(0, 255, (4, 3, 20, 30)).astype(np.uint8)
    plane = Slices(lambda: array).load(2)
    np.testing.assert_array_equal(plane, np.moveaxis(array[2], 0, -1))


def test_only_a_few_slices_are_kept(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.notebook.viewer_source.KEPT_BYTES", 3 * 50 * 70 * 2)
    slices = Slices(lambda: file["plain"])
    first = slices.load(0)
    assert slices.load(0) is first
    for index in range(1, 6):
        slices.load(index)
    assert len(slices._planes) == 3
    assert slices.load(0) is not first


def test_a_slice_too_large_to_keep_is_read_in_bands_with_equal_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = np.random.default_rng(5).normal(size=(3000, 2000)).astype(np.float32)
    with h5py.File(tmp_path / "large.h5", "w") as made:
        made["plane"] = plane
    with h5py.File(tmp_path / "large.h5") as file:
        whole, banded = Slices(lambda: plane), Slices(lambda: file["plane"])
        monkeypatch.setattr("workbench.notebook.viewer_source.WHOLE_SLICE_BYTES", 1 << 20)
        for region, step in [((0, 0, 3000, 2000), 7), ((0, 0, 3000, 2000), 1), ((700, 300, 2989, 500), 3)]:
            np.testing.assert_array_equal(banded.view(0, region, step), whole.view(0, region, step))
        assert banded.load(0) is None
        assert 10_000 < banded.sample(0).size < 70_000
        assert banded.value(0, 2999, 1999) == plane[-1, -1]


def test_limits_of_the_stack_see_all_of_it_and_those_of_a_slice_only_that(volume: np.ndarray) -> None:
    bright = volume.copy()
    bright[5] += 20_000
    slices = Slices(lambda: bright)
    assert slices.sampled_limits(0, (1.0, 99.0))[1] < 4000
    assert slices.sampled_limits(None, (1.0, 99.0))[1] > 20_000


def test_samples_hold_finite_values_only() -> None:
    plane = np.array([[1.0, np.nan], [np.inf, 2.0]])
    assert Slices(lambda: plane).sample(0).tolist() == [1.0, 2.0]


def test_an_axis_is_dear_where_the_file_lies_across_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        shape = (1000, 2048, 2048)
        plain = file.create_dataset("plain", shape, "u2")
        sliced = file.create_dataset("sliced", shape, "u2", chunks=(1, 2048, 2048))
        bricks = file.create_dataset("bricks", shape, "u2", chunks=(64, 64, 64))
        assert [Slices(lambda: plain).axis_cost(axis) < 1 << 27 for axis in range(3)] == [True, True, False]
        assert [Slices(lambda: sliced).axis_cost(axis) < 1 << 27 for axis in range(3)] == [True, False, False]
        assert [Slices(lambda: bricks).axis_cost(axis) < 1 << 30 for axis in range(3)] == [True, True, True]
    assert Slices(lambda: np.zeros((4, 5, 6))).axis_cost(2) == 0


def test_patches_of_integers_are_labels_and_noise_is_not() -> None:
    patches = np.kron(np.arange(16).reshape(4, 4), np.ones((30, 30), int))
    noise = np.random.default_rng(0).integers(0, 1000, (120, 120))
    assert looks_like_labels(Slices(lambda: patches))
    assert not looks_like_labels(Slices(lambda: noise))
    assert not looks_like_labels(Slices(lambda: patches.astype(np.uint16)))
    assert not looks_like_labels(Slices(lambda: patches - 1))
