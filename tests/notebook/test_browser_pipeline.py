"""A pipeline in real JupyterLab: it draws itself, shows its nodes while it runs, and is cancelled by its button."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hosts import stop_hosts
from lab_browser import chromium, running_lab, write_notebook

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium: apt-get install chromium"),
]

BEGIN = """%load_ext workbench
%workbench ws
import time
from pathlib import Path
from workbench import Node, Pipeline
IN = "__pipeline_input__"
def load(x):
    return x + 1.0
def wait(x, go=""):
    while go and not Path(go).exists():
        time.sleep(0.02)
    return x * 2
def join(a, b):
    return a + b
inner = Pipeline([Node(wait, IN, "w"), Node(load, "w", name="again")], "inner")
pipe = Pipeline([Node(load, IN, "x"), Node(wait, "x", "slow"), Node(inner, "x", "y"), Node(join, ["slow", "y"])], "demo")
pipe"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_pipeline_is_drawn_and_followed(tmp_path: Path, host_folder: Path, theme: str) -> None:
    from playwright.sync_api import expect

    root, go = tmp_path / "root", tmp_path / "go"
    root.mkdir()
    write_notebook(
        root / "pipeline.ipynb",
        [
            BEGIN,
            f"%pipe run pipe 1.5 -b -o run wait.go={go}",
            f"other = %pipe run pipe 2.5 -b wait.go={go}-never\nother.view()",
            "%pipe",
            f"%pipe run pipe 3.5 wait.go={go}",
        ],
    )
    shots = Path(os.environ.get("SCREENSHOTS", tmp_path))
    name = theme.split()[-1].lower()
    with running_lab(root, tmp_path / "private") as lab:
        lab.set_theme(theme)
        page = lab.open("pipeline.ipynb")
        lab.run_cell(page, 0)
        drawn = page.locator(".jp-OutputArea-output svg[role=img]").first
        expect(drawn).to_be_visible(timeout=60_000)
        expect(drawn.locator(".wb-node")).to_have_count(5)
        expect(drawn.locator(".wb-frame")).to_have_count(1)
        page.screenshot(path=shots / f"pipeline-{name}-drawn.png")
        lab.run_cell(page, 1)
        view = page.locator(".jp-Cell").nth(1).locator(".jp-OutputArea")
        expect(view.locator('[data-node="inner/again"][data-status="COMPLETED"]')).to_be_visible(
            timeout=90_000
        )
        expect(view.locator('[data-node="wait"][data-status="RUNNING"]')).to_be_visible()
        expect(view.locator('[data-node="join"][data-status="PENDING"]')).to_be_visible()
        page.screenshot(path=shots / f"pipeline-{name}-running.png")
        go.touch()
        expect(view).to_contain_text("COMPLETED", timeout=30_000)
        expect(view.locator('[data-status="COMPLETED"]')).to_have_count(5)
        lab.run_cell(page, 2)
        second = page.locator(".wb-view").first
        expect(second.locator('[data-node="wait"][data-status="RUNNING"]')).to_be_visible(timeout=60_000)
        second.get_by_role("button", name="Cancel").click()
        expect(second).to_contain_text("CANCELLED", timeout=30_000)
        expect(second.locator('[data-node="join"][data-status="SKIPPED"]')).to_be_visible()
        page.screenshot(path=shots / f"pipeline-{name}-cancelled.png")
        lab.run_cell(page, 3)
        lab.run_cell(page, 4)
        last = page.locator(".jp-Cell").nth(4).locator("svg[role=img]")
        expect(last.locator('[data-status="COMPLETED"]')).to_have_count(5, timeout=60_000)
        last.scroll_into_view_if_needed()
        page.screenshot(path=shots / f"pipeline-{name}-ended.png")
        page.close()
    stop_hosts(host_folder)
