"""Pictures out of slices: shrinking, contrast, labels, encoding."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from workbench.notebook import viewer_image as image


def opened(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)))


@pytest.mark.parametrize("step", [2, 3, 4])
def test_small_blocks_become_their_mean(step: int) -> None:
    plane = data.camera()
    side = 512 // step
    blocks = plane[: side * step, : side * step].reshape(side, step, side, step)
    np.testing.assert_allclose(image.reduce(plane, step), blocks.mean((1, 3)), rtol=1e-5)


def test_large_blocks_become_a_mean_of_their_own_pixels_only() -> None:
    blocks = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(image.reduce(np.kron(blocks, np.ones((40, 40))), 40), blocks)


def test_labels_are_picked_and_never_mixed() -> None:
    labels = np.random.default_rng(0).integers(0, 5, (90, 120)) * 1000
    assert set(np.unique(image.reduce(labels, 7, exact=True))) <= {0, 1000, 2000, 3000, 4000}


def test_a_mask_shrinks_to_the_shape_of_its_image() -> None:
    for height, width, step in [(2048, 2047, 3), (5, 1000, 9), (33, 33, 32)]:
        plane = np.zeros((height, width))
        assert image.reduce(plane, step).shape == image.reduce(plane, step, exact=True).shape


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "f2", "i8", "f8", ">f4", ">u2", "c8", "c16"])
def test_every_numeric_dtype_shrinks_and_becomes_gray(dtype: str) -> None:
    plane = (np.arange(64 * 64).reshape(64, 64) % 2).astype(dtype)
    for step in (1, 2, 8):
        gray = image.to_gray(image.reduce(plane, step), 0.0, 1.0)
        assert gray.dtype == np.uint8
        assert gray.max() > 0


def test_large_integers_keep_small_differences() -> None:
    plane = np.full((64, 64), 10**12, np.int64)
    plane[:, 32:] += 10
    gray = image.to_gray(image.reduce(plane, 2), 1e12, 1e12 + 10)
    assert (gray[0, 0], gray[0, -1]) == (0, 255)


def test_limits_map_to_black_and_white_and_nan_is_black() -> None:
    values = np.array([[1.0, 3.0, 5.0], [np.nan, np.inf, -np.inf]], np.float32)
    np.testing.assert_array_equal(image.to_gray(values, 1, 5), [[0, 127, 255], [0, 255, 0]])


def test_a_constant_slice_is_mid_gray() -> None:
    values = np.full((4, 4), 7, np.uint16)
    low, high = image.limits_of(values.ravel().astype(float), (1, 99), values.dtype)
    assert (low, high) == (7.0, 7.0)
    assert set(image.to_gray(values, low, high).ravel()) == {127}


def test_limits_of_rare_bright_spots_are_their_whole_range() -> None:
    sample = np.zeros(10_000)
    sample[3] = 900.0
    assert image.limits_of(sample, (1, 99), np.dtype(float)) == (0.0, 900.0)


def test_limits_where_nothing_is_finite_are_zero_and_one() -> None:
    assert image.limits_of(np.array([]), (1, 99), np.dtype(float)) == (0.0, 1.0)


@pytest.mark.parametrize("high", [1, 255, 4095, 65535])
def test_bins_of_whole_numbers_hold_equally_many_of_them(high: int) -> None:
    counts, left, right = image.histogram_of(np.arange(high + 1.0), 0, high, whole=True)
    assert counts.sum() == high + 1
    assert len(counts) <= 129
    assert len(set(counts[:-1])) <= 1  # the last may be cut by the end of the range
    assert left == -0.5
    assert right >= high + 0.5


def test_zero_is_no_label_and_others_turn_through_255_colours() -> None:
    labels = np.array([[0, 1, 255], [256, -1, 70_000]], np.int64)
    index = image.to_label_index(labels)
    assert index[0].tolist() == [0, 1, 255]
    assert index[1, 0] == 1
    assert (index[1] > 0).all()
    np.testing.assert_array_equal(image.to_label_index(np.array([[True, False]])), [[1, 0]])
    np.testing.assert_array_equal(image.to_label_index(np.array([[2.0, np.nan]])), [[2, 0]])


def test_lossless_pictures_come_back_exactly_and_others_nearly() -> None:
    camera = data.camera()
    kind, encoded = image.encode(camera, lossless=True)
    assert kind == "png"
    np.testing.assert_array_equal(opened(encoded), camera)
    kind, encoded = image.encode(data.astronaut(), lossless=False)
    assert kind == "jpeg"
    assert np.abs(opened(encoded).astype(int) - data.astronaut()).mean() < 3


def test_colour_tables_have_256_colours_and_label_colours_differ() -> None:
    tables = image.colour_tables()
    assert all(table.shape == (256, 3) and table.dtype == np.uint8 for table in tables.values())
    assert tables["gray"][[0, 128, 255]].tolist() == [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    assert len(np.unique(tables["labels"], axis=0)) > 250
    near = np.abs(np.diff(tables["labels"][1:].astype(int), axis=0)).sum(1)
    assert near.min() > 60
