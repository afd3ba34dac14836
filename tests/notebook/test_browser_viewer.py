"""The viewer in a real JupyterLab: slider, zoom, value under the pointer, both themes."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import pytest
from lab_browser import Lab, chromium, running_lab, write_notebook

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        chromium() is None, reason="Chromium is not installed here (apt-get install chromium)"
    ),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]

CELL = """import h5py
from workbench.notebook.viewer import Viewer
file = h5py.File("stack.h5")
viewer = Viewer(file["image"], mask=file["mask"], title="sample", limits=(0, 4000))
viewer"""

# Move the slider as a hand does, every few milliseconds, and count what comes on the screen.
DRAG = """async (ms) => {
  const root = document.querySelector('.wb-viewer');
  const slider = root.querySelector('.wb-viewer-transport input[type=range]');
  const before = Number(root.dataset.pictures), start = performance.now();
  let moves = 0;
  while (performance.now() - start < ms) {
    slider.value = Math.round(15 + 14 * Math.sin((performance.now() - start) / 300));
    slider.dispatchEvent(new Event('input'));
    moves += 1;
    await new Promise((done) => setTimeout(done, 8));
  }
  return {moves, pictures: Number(root.dataset.pictures) - before};
}"""


# Move the slider to a slice, and tell which one is on the screen at the end of the next frame.
BACK = """async (index) => {
  const root = document.querySelector('.wb-viewer');
  const slider = root.querySelector('.wb-viewer-transport input[type=range]');
  slider.value = index;
  slider.dispatchEvent(new Event('input'));
  await new Promise(requestAnimationFrame);
  return root.dataset.index;
}"""


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    y, x = np.mgrid[:1024, :1024]
    return np.stack([((x + 40 * i) % 500 * 6 + y).astype(np.uint16) for i in range(30)])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, volume: np.ndarray) -> Iterator[Lab]:
    root = tmp_path_factory.mktemp("notebooks")
    with h5py.File(root / "stack.h5", "w") as file:
        file["image"] = volume
        file["mask"] = (volume // 1000).astype(np.int32)
    write_notebook(root / "viewer.ipynb", [CELL, "print('slice', viewer.index, viewer.colormap)"])
    with running_lab(root, tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.mark.timeout(400)
def test_a_scientist_looks_through_a_stack(lab: Lab, volume: np.ndarray) -> None:
    from playwright.sync_api import expect

    lab.set_theme("JupyterLab Dark")
    page = lab.open("viewer.ipynb")
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    lab.run_cell(page)
    viewer = page.locator(".wb-viewer")
    expect(viewer).to_have_attribute("data-index", "15", timeout=60_000)
    size = viewer.bounding_box()

    moved = page.evaluate(DRAG, 3000)
    assert (
        moved["pictures"] >= 6
    )  # 20 to 40 each second where nothing else runs: tests/benchmarks/bench_viewer.py
    viewer.get_by_label("Slice", exact=True).fill("7")
    expect(viewer).to_have_attribute("data-index", "7", timeout=20_000)
    viewer.get_by_role("button", name="Next slice").click()
    expect(viewer).to_have_attribute("data-index", "8", timeout=20_000)
    for _ in range(12):  # while Python repeats each of them: none may be undone
        viewer.get_by_role("button", name="Next slice").click()
        page.wait_for_timeout(33)
    expect(viewer).to_have_attribute("data-index", "20", timeout=20_000)
    viewer.get_by_label("Slice", exact=True).fill("7")
    expect(viewer).to_have_attribute("data-index", "7", timeout=20_000)
    viewer.get_by_role("button", name="Next slice").click()
    expect(viewer).to_have_attribute("data-index", "8", timeout=20_000)
    assert page.evaluate(BACK, 7) == "7"  # no message can have come within the frame
    expect(viewer.get_by_label("Slice number")).to_have_value("7")
    viewer.get_by_role("button", name="Next slice").click()
    expect(viewer).to_have_attribute("data-index", "8", timeout=20_000)

    viewer.get_by_label("Colour map").select_option("viridis")
    viewer.get_by_label("invert").check()
    viewer.get_by_label("outline").check()
    stage = viewer.locator(".wb-viewer-stage")
    stage.click()
    page.keyboard.press("ArrowRight")
    expect(viewer).to_have_attribute("data-index", "9", timeout=20_000)
    assert_tells_true_value(page, viewer, stage, volume)

    for _ in range(8):
        page.mouse.wheel(0, -120)
    expect(viewer).to_have_attribute("data-step", "1", timeout=20_000)
    # the true pixels: plain levels, or PNG where pictures took long
    expect(viewer).to_have_attribute("data-format", re.compile("raw|png"), timeout=20_000)
    page.mouse.move(0, 0)
    assert_tells_true_value(page, viewer, stage, volume)
    stage.dblclick()
    expect(viewer.get_by_role("button", name="fit")).to_be_visible()

    assert viewer.bounding_box() == size  # nothing jumped
    lab.run_cell(page, 1)
    expect(page.get_by_text("slice 9 viridis")).to_be_visible(timeout=20_000)
    assert complaints == []


def assert_tells_true_value(page: Any, viewer: Any, stage: Any, volume: np.ndarray) -> None:
    """Point at the stage and compare what the viewer says with the array."""
    from playwright.sync_api import expect

    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.6)
    readout = viewer.locator(".wb-viewer-readout")
    expect(readout).to_have_text(re.compile(r"\[9, \d+, \d+\]\d+label \d+"), timeout=20_000)
    index, y, x, value, label = map(int, re.findall(r"\d+", readout.inner_text()))
    assert value == volume[index, y, x]
    assert label == value // 1000


def test_the_picture_shrinks_with_a_narrow_cell(lab: Lab) -> None:
    from playwright.sync_api import expect

    page = lab.open("viewer.ipynb", width=760)
    lab.run_cell(page)
    viewer = page.locator(".wb-viewer")
    expect(viewer).to_have_attribute("data-pictures", re.compile(r"\d"), timeout=60_000)
    stage, panel = (viewer.locator(f".wb-viewer-{part}").bounding_box() for part in ("stage", "panel"))
    assert panel["y"] >= stage["y"] + stage["height"] - 1
    assert viewer.evaluate("node => node.scrollWidth <= node.clientWidth")
