from __future__ import annotations

import numpy as np
import pytest

NOISE = 20.0  # counts


@pytest.fixture(scope="module")
def clean(picture):
    return picture("camera")[:256, 128:384]


@pytest.fixture(scope="module")
def noisy(clean):
    return clean + np.random.default_rng(0).normal(0, NOISE, clean.shape).astype(np.float32)


@pytest.mark.parametrize(
    ("method", "radius", "gain_db"),
    [("non-local means", 5, 8.0), ("total variation", 1, 7.0), ("gaussian", 1, 4.0), ("median", 1, 3.5)],
)
def test_denoising_raises_the_signal_to_noise_ratio(bench, psnr, clean, noisy, method, radius, gain_db):
    run = bench.run("denoise", noisy, {"method": method, "radius": radius})
    assert psnr(clean, run.result()) > psnr(clean, noisy) + gain_db


def test_median_removes_single_hot_pixels(bench, psnr, clean):
    hot = clean.copy()
    hot[np.random.default_rng(1).random(clean.shape) < 0.05] = 255
    run = bench.run("denoise", hot, {"method": "median", "radius": 1})
    assert psnr(clean, run.result()) > psnr(clean, hot) + 9


def test_noise_is_estimated_close_to_the_truth_and_logged(bench, noisy):
    run = bench.run("denoise", noisy, {"method": "total variation"})
    estimate = float(str(run.log).split("noise ")[1].split(" counts")[0])
    assert estimate == pytest.approx(NOISE, rel=0.1)


def test_stack_keeps_shape_type_and_order(bench, clean):
    stack = np.stack([clean, clean / 2]).astype(np.uint8)
    result = bench.run("denoise", stack, {"method": "gaussian", "radius": 1, "keep_dtype": True}).result()
    assert result.shape == stack.shape
    assert result.dtype == np.uint8
    assert result[0].mean() == pytest.approx(2 * result[1].mean(), rel=0.02)


def test_colour_image_is_denoised_channel_by_channel(bench):
    data = pytest.importorskip("skimage.data")
    colour = np.moveaxis(data.chelsea()[:64, :80], -1, 0)
    run = bench.run("denoise", [colour], {"radius": 1})
    assert [dataset["image"].shape for dataset in run.outputs] == [(3, 64, 80)]


def test_cancel_ends_it_inside_one_image(bench, picture):
    large = np.tile(picture("camera"), (3, 3))
    run = bench.run("denoise", large, {"radius": 15}, wait=False)
    started = []
    run.subscribe(lambda event: started.append(event.fraction) or run.cancel())
    run.wait(timeout_s=60)
    assert run.status == "CANCELLED"
    assert 0 <= run.progress < 0.5
