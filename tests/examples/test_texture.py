from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

TRAINING = Path(__file__).parents[2] / "notebooks" / "training" / "train_texture.py"
CLASSES = ("brick", "grass", "gravel")


@pytest.fixture(scope="module")
def training():
    """Return the names that the training script defines; it trains only as a program."""
    return runpy.run_path(str(TRAINING))


@pytest.fixture(scope="module")
def mosaics(training, picture):
    """Return 8 mosaics, (image, labels), of the halves of the pictures that were not used for training."""
    random = np.random.default_rng(7)
    unseen = [picture(name)[:, 256:] for name in CLASSES]
    return [training["mosaic"](unseen, 192, random) for _ in range(8)]


def test_textures_never_seen_are_told_apart(bench, mosaics):
    images, labels = map(np.stack, zip(*mosaics, strict=True))
    answer = bench.run("texture", 100 + 30 * images).result()
    right = np.mean(answer == labels + 1)
    quoted = float(re.search(r"([\d.]+) %", bench.algorithms.get("texture").description).group(1)) / 100
    assert right == pytest.approx(quoted, abs=0.03)


def test_network_beats_local_mean_and_deviation(bench, training, picture, mosaics):
    random = np.random.default_rng(8)
    known = [training["mosaic"]([picture(name)[:, :256] for name in CLASSES], 192, random) for _ in range(8)]
    features = np.stack([training["local_statistics"](image) for image, _ in known])
    classes = np.stack([labels for _, labels in known])
    centres = np.stack([features[classes == number].mean(axis=0) for number in range(3)])
    network, statistics = [], []
    for image, labels in mosaics:
        distance = np.linalg.norm(training["local_statistics"](image)[..., None, :] - centres, axis=-1)
        statistics.append(np.mean(distance.argmin(axis=-1) == labels))
        network.append(np.mean(bench.run("texture", image).result() == labels + 1))
    assert np.mean(network) > np.mean(statistics) + 0.2


def test_certainty_leaves_doubtful_pixels_unknown_and_the_rest_more_often_right(bench, mosaics):
    image, labels = mosaics[0]
    every = bench.run("texture", image).result()
    certain = bench.run("texture", image, {"certainty": 0.9}).result()
    assert every.min() > 0
    assert 0 < np.mean(certain == 0) < 0.7
    assert np.mean(certain[certain > 0] == labels[certain > 0] + 1) > np.mean(every == labels + 1)


def test_brightness_and_contrast_do_not_matter(bench, mosaics):
    image, _ = mosaics[1]
    plain, bright = (bench.run("texture", picture).result() for picture in (image, 20 * image + 500))
    assert np.mean(plain == bright) > 0.999


def test_scale_makes_up_for_another_magnification(bench, mosaics):
    ndimage = pytest.importorskip("scipy.ndimage")
    image, labels = mosaics[2]
    large = ndimage.zoom(image, 2, order=1)
    answer = bench.run("texture", large, {"scale": 0.5}).result()
    assert answer.shape == large.shape
    wrong_scale = bench.run("texture", large).result()
    truth = labels.repeat(2, axis=0).repeat(2, axis=1) + 1
    assert np.mean(answer == truth) > np.mean(wrong_scale == truth)
