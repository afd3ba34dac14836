from __future__ import annotations

import numpy as np
import pytest

TILE = 64  # px


def test_texture_of_a_tile_is_recognised_by_its_nearest_neighbour(bench, picture):
    tiles, texture, half = [], [], []
    for number, name in enumerate(("brick", "grass", "gravel")):
        image = picture(name)
        for y in range(0, image.shape[0], TILE):
            for x in range(0, image.shape[1], TILE):
                tiles.append(image[y : y + TILE, x : x + TILE])
                texture.append(number)
                half.append((x + y) // TILE % 2)
    run = bench.run("embed", np.stack(tiles))
    features = np.stack([dataset["features"] for dataset in run.outputs])
    texture, known = np.array(texture), np.array(half) == 0
    distance = np.linalg.norm(features[~known, None] - features[known], axis=-1)
    guess = texture[known][distance.argmin(axis=1)]
    assert np.mean(guess == texture[~known]) > 0.75  # guessing gives 0.33


def test_vector_does_not_depend_on_brightness_or_gain(bench, picture):
    tile = picture("gravel")[:128, :128]
    run = bench.run("embed", np.stack([tile, 3 * tile + 40]))
    first, second = (dataset["features"] for dataset in run.outputs)
    assert second == pytest.approx(first, abs=1e-3)


def test_one_sector_is_blind_to_rotation(bench, picture):
    tile = picture("brick")[:128, :128]
    stack = np.stack([tile, np.rot90(tile)])
    spread = []
    for sectors in (1, 4):
        one, turned = (d["features"] for d in bench.run("embed", stack, {"sectors": sectors}).outputs)
        assert one.shape == (8 * sectors,)
        spread.append(np.abs(one - turned).max())
    assert spread[0] < 0.05 < spread[1]
