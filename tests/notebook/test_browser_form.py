"""The form in real JupyterLab: what a scientist sees and clicks."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"),
    pytest.mark.timeout(600),
]
TOKEN = "test-token"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PATIENCE_MS = 120_000  # a loaded machine; all waits end as soon as they can

SETUP = """\
import numpy as np
%load_ext workbench
ws = %workbench {workspace}
_ = ws.algorithms.deploy({folder!r}, check=False)
y, x = np.mgrid[-1:1:96j, -1:1:128j]
volume = np.exp(-8 * (x**2 + y**2)).astype("float32")\
"""
TOML = """
[project]
name = "smooth"
version = "1.0"

[tool.workbench]
algorithm_type = "Image2Image"
description = "Average every pixel with its neighbours, weighted by a Gaussian bell."
parameters = [
  {name = "sigma", type = "float", default = 1.5, min = 0.0, unit = "px", description = "Width of the bell"},
  {name = "strength", type = "float_range", default = 0.123456789, min = 0.0, max = 1.0, step = 0.05, description = "How far the image gives way to the average: not at all, or wholly"},
  {name = "rounds", type = "int_range", default = 2, min = 1, max = 9, step = 1},
  {name = "mode", type = "string_enum", options = ["reflect", "nearest", "wrap"], description = "What lies outside the edge"},
  {name = "limit", type = "float", optional = true, unit = "counts", description = "Larger values are cut off"},
  {name = "spacing", type = "float_tuple", length = 3, default = [2.0, 0.5, 0.5], unit = "µm"},
  {name = "channels", type = "string_list", default = ["DAPI", "GFP"], description = "Names of the channels, in order"},
  {name = "keep", type = "bool", default = true, description = "Keep the mean of the image"},
  {name = "note", type = "string", default = "", description = "Free text that is kept with the result"},
  {name = "seed", type = "int", default = 9007199254740993, adjustable = false},
]
"""
RUNNER = """
import time
from pathlib import Path
from workbench.runners import Image2ImageRunner

class Runner(Image2ImageRunner):
    def inference(self, data, args):
        self.log_message(f"sigma is {args['sigma']}")
        for step in range(10):
            time.sleep(0.1)
            self.log_message(f"pass {step + 1} of 10")
            self.set_progress((step + 1) / 10, f"pass {step + 1} of 10")
            while step == 5 and not Path("go").exists():  # until the test has seen it run
                time.sleep(0.02)
        self.log_message("some pixels were clipped", "WARNING")
        return data
"""


@pytest.fixture(scope="module")
def shots() -> Path | None:
    """Return where screenshots go, if anyone wants them."""
    wanted = os.environ.get("SCREENSHOTS")
    return Path(wanted) if wanted else None


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """Start JupyterLab on a folder with one notebook; give its address."""
    root = tmp_path / "root"
    (root / "algorithm").mkdir(parents=True)
    (root / "algorithm" / "pyproject.toml").write_text(TOML, "utf-8")
    (root / "algorithm" / "Runner.py").write_text(RUNNER, "utf-8")
    setup = SETUP.format(workspace=root / "ws", folder=str(root / "algorithm"))
    (root / "form.ipynb").write_text(json.dumps(_notebook([setup, "%algoform smooth volume"])), "utf-8")
    lab_settings = tmp_path / "settings" / "@jupyterlab" / "apputils-extension"
    lab_settings.mkdir(parents=True)
    (lab_settings / "notification.jupyterlab-settings").write_text(
        '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}'
    )
    if os.environ.get("LAB_THEME"):
        (lab_settings / "themes.jupyterlab-settings").write_text(
            json.dumps({"theme": os.environ["LAB_THEME"]})
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    private = {
        "JUPYTER_CONFIG_DIR": tmp_path / "config",
        "JUPYTER_RUNTIME_DIR": tmp_path / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": tmp_path / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": tmp_path / "workspaces",
        "IPYTHONDIR": tmp_path / "ipython",
        "PYTHONPATH": Path(workbench.__file__).parents[1],
    }
    options = [
        f"--port={port}",
        "--ip=127.0.0.1",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={root}",
    ]
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyter",
            "lab",
            "--no-browser",
            "--allow-root",
            "--ServerApp.log_level=ERROR",
            *options,
        ],
        env={**os.environ, **{name: str(path) for name, path in private.items()}},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"{address}/lab/workspaces/form/tree/form.ipynb?reset&token={TOKEN}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def page(lab: str) -> Iterator[Any]:
    """Open the notebook in Chromium."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS.split())
        playwright.expect.set_options(timeout=PATIENCE_MS)
        opened = browser.new_page(viewport={"width": 1400, "height": 1400})
        opened.set_default_timeout(PATIENCE_MS)
        opened.goto(lab)
        yield opened
        browser.close()


def _notebook(cells: list[str]) -> dict[str, Any]:
    made = [
        {
            "cell_type": "code",
            "id": f"c{i}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for i, source in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": made}


def _run_all(page: Any) -> Any:
    """Run all cells from the first; return the form."""
    notebook = page.locator(".jp-NotebookPanel")
    playwright.expect(notebook).to_be_visible(timeout=PATIENCE_MS)
    # the notebook's own indicator says idle before the connection is up
    playwright.expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle")
    notebook.locator(".jp-CodeCell .jp-InputArea-editor").first.click()
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    form = notebook.locator(".wb-form:not([data-old])")
    playwright.expect(form).to_be_visible(timeout=PATIENCE_MS)
    return form


def _field(form: Any, name: str) -> Any:
    """Return the boxes of a parameter: they follow its label in the grid."""
    return form.locator(
        f"xpath=.//*[contains(@class, 'wb-label')][.//span[text()='{name}']]/following-sibling::*[1]"
    )


def _button(form: Any, text: str) -> Any:
    return form.locator("button:visible").filter(has_text=re.compile(rf"^\W*{text}\b"))


def _shot(page: Any, shots: Path | None, name: str) -> None:
    if shots is not None:
        page.screenshot(path=shots / f"{name}.png")


def test_form_refuses_runs_repeats_and_remembers(page: Any, shots: Path | None, tmp_path: Path) -> None:
    expect = playwright.expect
    form = _run_all(page)
    run = _button(form, "Run")
    sigma = _field(form, "sigma").locator("input")
    expect(sigma).to_have_value("1.5")
    expect(run).to_be_enabled()
    _shot(page, shots, "1-fresh")

    # showing a value changes nothing: off the slider's steps, and beyond what a browser's numbers hold
    _button(form, "Advanced").click()
    expect(_field(form, "seed").locator("input")).to_have_value("9007199254740993")
    expect(_field(form, "strength").locator("input[type=text]")).to_have_value("0.123456789")

    top = form.locator(".wb-preset").bounding_box()["y"]
    sigma.fill("-2")
    expect(form.get_by_text("Expected at least 0.0").first).to_be_visible()
    expect(run).to_be_disabled()
    assert form.locator(".wb-preset").bounding_box()["y"] == top, (
        "the layout jumped when the message appeared"
    )
    _shot(page, shots, "2-wrong")

    sigma.fill("2.25")
    expect(run).to_be_enabled()
    _field(form, "note").locator("textarea").fill('two\nlines and a "quote"')
    run.dblclick()
    expect(form.locator(".wb-badge")).to_have_text("RUNNING")
    expect(_button(form, "Cancel")).to_be_enabled()
    expect(form.locator(".wb-now")).to_contain_text("of 10")
    _shot(page, shots, "3-running")
    (tmp_path / "root" / "go").touch()
    expect(form.locator(".wb-badge")).to_have_text("COMPLETED")
    expect(form.locator(".wb-outputs img").first).to_be_visible(timeout=PATIENCE_MS)
    expect(form.locator(".wb-log")).to_contain_text("sigma is 2.25")
    expect(run).to_be_enabled()
    form.locator(".wb-search input").fill("pass 7")
    expect(form.locator(".wb-log mark")).to_have_text("pass 7")
    form.locator(".wb-search input").fill("")
    _shot(page, shots, "4-completed")

    _button(form, "Insert cell").click()
    inserted = page.locator(".jp-NotebookPanel .jp-CodeCell").nth(2)
    expect(inserted).to_contain_text("%%algorun smooth@1.0 volume")
    expect(inserted).to_contain_text("sigma: 2.25")
    inserted.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Shift+Enter")
    expect(inserted.locator(".jp-OutputArea-output").last).to_contain_text("COMPLETED")
    _shot(page, shots, "5-inserted")

    form.evaluate("element => element.dataset.old = true")
    page.locator(".jp-NotebookPanel .jp-CodeCell").first.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Escape")
    page.keyboard.press("0")
    page.keyboard.press("0")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    form = _run_all(page)
    expect(_field(form, "sigma").locator("input")).to_have_value("2.25")
    expect(_field(form, "note").locator("textarea")).to_have_value('two\nlines and a "quote"')
    _shot(page, shots, "6-remembered")
