from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="module")
def drift():
    """Return the position of each slice, (y, x) px."""
    return np.array([[0, 0], [3.3, -1.6], [7.0, 2.2], [5.5, 6.1], [-4.2, 9.7]])


@pytest.fixture(scope="module")
def stack(picture, drift):
    """Return noisy views of one scene through a drifting window: content enters and leaves at the edges."""
    ndimage = pytest.importorskip("scipy.ndimage")
    scene = picture("hubble_deep_field")[:360, :400]
    noise = np.random.default_rng(0)
    views = [ndimage.shift(scene, -position, order=3, mode="reflect")[30:-30, 30:-30] for position in drift]
    return np.stack([view + noise.normal(0, 10, view.shape) for view in views]).astype(np.float32)


def found(run):
    """Return the translations of the matrices as (y, x)."""
    matrices = np.stack([dataset["transform_matrix"] for dataset in run.outputs])
    assert matrices[:, :2, :2] == pytest.approx(np.broadcast_to(np.eye(2), (len(matrices), 2, 2)))
    return matrices[:, 1::-1, 2]


def test_subpixel_shifts_between_neighbours_are_recovered(bench, stack, drift):
    run = bench.run("register", stack)
    assert len(run.outputs) == len(stack) - 1
    assert found(run) == pytest.approx(np.diff(drift, axis=0), abs=0.2)


def test_shifts_onto_the_first_slice_do_not_add_up_errors(bench, stack, drift):
    run = bench.run("register", stack, {"onto": "first", "upsampling": 100})
    assert found(run) == pytest.approx(drift[1:], abs=0.2)


def test_whole_pixels_are_within_rounding(bench, stack, drift):
    shifts = found(bench.run("register", stack, {"upsampling": 1}))
    assert np.array_equal(shifts, np.rint(shifts))
    assert shifts == pytest.approx(np.diff(drift, axis=0), abs=0.7)


def test_improbable_shift_is_a_warning_in_the_log(bench, stack):
    run = bench.run("register", stack, {"max_shift": 8.0})
    warned = [line for line in str(run.log).splitlines() if "WARNING" in line]
    assert len(warned) == 1
    assert "slice 4" in warned[0]


def test_single_slice_fails_and_says_what_is_needed(bench, stack):
    run = bench.run("register", stack[0])
    assert run.status == "FAILED"
    assert "at least 2 slices" in str(run.error)
