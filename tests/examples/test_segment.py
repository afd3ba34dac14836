from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="module")
def coins(picture):
    return picture("coins")


@pytest.mark.parametrize("method", ["otsu", "li", "triangle"])
def test_the_24_coins_are_found(bench, coins, method):
    run = bench.run("segment", coins, {"method": method, "background_radius": 40, "min_area": 100})
    masks = run.outputs[0]["mask"]
    assert masks.max() == 24
    assert masks.shape == coins.shape


def test_measurements_agree_with_the_mask(bench, coins):
    run = bench.run("segment", coins, {"background_radius": 40, "min_area": 100, "pixel_size": 0.5})
    mask, table = run.outputs[0]["mask"], run.outputs[1]["data"]
    assert len(table) == 24
    assert table["area_px"].sum() == (mask > 0).sum()
    assert table["area_um2"] == pytest.approx(table["area_px"] * 0.25)
    for row in table[:3]:
        y, x = np.nonzero(mask == row["label"])
        assert (row["y_px"], row["x_px"]) == pytest.approx((y.mean(), x.mean()))
        assert row["mean_counts"] == pytest.approx(coins[y, x].mean(), rel=1e-5)


def test_table_names_the_image_of_each_object(bench, coins):
    run = bench.run("segment", np.stack([coins, coins]), {"background_radius": 40, "min_area": 100})
    assert np.bincount(run.outputs[2]["data"]["image"]).tolist() == [24, 24]


def test_touching_discs_are_split_on_request(bench):
    y, x = np.mgrid[:80, :120]
    discs = np.hypot(y - 40, x - 40) < 22
    discs |= np.hypot(y - 40, x - 80) < 22
    image = 200 * discs.astype(np.float32)
    counts = [
        bench.run("segment", image, {"split_touching": split}).outputs[0]["mask"].max()
        for split in (False, True)
    ]
    assert counts == [1, 2]


def test_manual_level_is_used_as_it_is(bench):
    image = np.zeros((64, 64), np.float32)
    image[10:20, 10:20], image[40:50, 40:50] = 100, 50
    for level, n in ((25.0, 2), (75.0, 1), (150.0, 0)):
        run = bench.run("segment", image, {"method": "manual", "level": level, "smooth": 0.0})
        assert len(run.outputs[1]["data"]) == n


def test_galaxies_of_the_hubble_deep_field_are_counted(bench, picture):
    run = bench.run("segment", picture("hubble_deep_field"), {"background_radius": 40, "min_area": 20})
    assert 200 < len(run.outputs[1]["data"]) < 400
