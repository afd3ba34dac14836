"""The offer of a form in real JupyterLab: it appears, moves nothing, and shows what was computed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from algorithm_folders import GAIN, write_algorithm
from lab_browser import chromium, running_lab, write_notebook

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed (apt-get install chromium)"),
    pytest.mark.timeout(600),
]
SETUP = """
%load_ext workbench
import numpy as np, workbench
ws = workbench.open("ws")
invert = ws.algorithms.deploy("algorithm", check=False)
picture = np.add.outer(np.arange(64.0), np.arange(96.0))
known = invert(picture, gain=2.0)
"""


def _shot(page: Any, name: str) -> None:
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{name}.png")


def _button(form: Any, text: str) -> Any:
    return form.locator("button:visible").filter(has_text=text)


def test_a_known_result_is_offered_and_used(tmp_path: Path) -> None:
    expect = playwright.expect
    playwright.expect.set_options(timeout=60_000)
    root = tmp_path / "root"
    write_algorithm(root / "algorithm", extra=GAIN)
    write_notebook(root / "form.ipynb", [SETUP, "%algoform invert@1 picture"])
    (tmp_path / "private").mkdir()
    with running_lab(root, tmp_path / "private") as lab:
        page = lab.open("form.ipynb", width=1300)
        lab.run_cell(page, 0)
        lab.run_cell(page, 1)
        form = page.locator(".wb-form")
        run = _button(form, "Run").first
        expect(run).to_be_enabled()
        expect(form.locator(".wb-offer")).to_be_hidden()
        below = form.locator(".wb-preset").bounding_box()
        height = form.bounding_box()["height"]
        _shot(page, "offer-0-nothing-known")

        gain = form.locator(".wb-field input[type=text]").last
        gain.fill("2")
        gain.press("Enter")
        expect(form.locator(".wb-offer")).to_contain_text("Already computed on 20")
        expect(_button(form, "Use it")).to_be_visible()
        expect(_button(form, "Compute again")).to_be_visible()
        _shot(page, "offer-1-known")
        assert form.locator(".wb-preset").bounding_box() == below, "the layout jumped when the offer appeared"
        assert form.bounding_box()["height"] == height, "the form grew when the offer appeared"

        _button(form, "Use it").click()
        expect(form.locator(".wb-badge")).to_have_text("COMPLETED")
        expect(form.locator(".wb-now")).to_contain_text("reused from")
        expect(form.locator(".wb-outputs img").first).to_be_visible()
        expect(form.locator(".wb-offer")).to_be_hidden()
        _shot(page, "offer-2-used")
