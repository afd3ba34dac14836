"""A background run in real JupyterLab: its kernel is killed, and another notebook sees it to its end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from algorithm_folders import write_algorithm
from hosts import stop_hosts
from lab_browser import chromium, running_lab, write_notebook

import workbench

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium: apt-get install chromium"),
]

STEPS = """
    import time
    from pathlib import Path
    from workbench.runners import Image2ImageRunner

    class Runner(Image2ImageRunner):
        def inference(self, data, args={}):
            for i in range(100):
                self.log_message(f"step {i}")
                self.set_progress((i + 1) / 100, f"step {i + 1} of 100")
                while i == 40 and not Path(args["go"]).exists():
                    time.sleep(0.02)
            return data * 2
"""
TABLE = """
    [[tool.workbench.parameters]]
    name = "go"
    type = "string"
    default = ""
    description = "File that lets it go on"
    adjustable = false
"""


def test_a_run_is_attached_to_from_another_notebook(tmp_path: Path, host_folder: Path) -> None:
    from playwright.sync_api import expect

    root, go = tmp_path / "root", tmp_path / "go"
    root.mkdir()
    with workbench.open(root / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "steps", "steps", STEPS, extra=TABLE), check=False)
    begin = "%load_ext workbench\nimport os, numpy as np\n%workbench ws"
    image = "x = np.linspace(0, 1, 40)\nimage = np.outer(x, np.sin(9 * x) ** 2).astype('float32')"
    start = f"{image}\n%algorun -b steps image go={go}\nprint('kernel', os.getpid())"
    write_notebook(root / "first.ipynb", [f"{begin}\n{start}"])
    attach = "run = %algojobs\n%algojobs {run[0].id} attach"
    write_notebook(root / "second.ipynb", [begin, attach, "%algoform steps image"])
    shots = Path(os.environ.get("SCREENSHOTS", tmp_path))
    with running_lab(root, tmp_path / "private") as lab:
        page = lab.open("first.ipynb")
        lab.run_cell(page)
        expect(page.locator(".jp-OutputArea-output", has_text="kernel")).to_be_visible(timeout=60_000)
        text = page.locator(".jp-OutputArea-output", has_text="kernel").inner_text()
        with workbench.open(root / "ws") as ws:
            run = ws.runs.list()[0]
            assert run.record.kernel_pid == int(text.split()[-1])
            os.kill(run.record.kernel_pid, signal.SIGKILL)
        page.close()
        page = lab.open("second.ipynb")
        lab.run_cell(page, 0)
        lab.run_cell(page, 1)
        view = page.locator(".wb-view").first
        expect(view).to_contain_text("41%", timeout=60_000)
        expect(view.locator(".wb-log")).to_contain_text("step 0")
        expect(view).to_contain_text("RUNNING")
        page.screenshot(path=shots / "background-running.png")
        go.touch()
        expect(view).to_contain_text("COMPLETED", timeout=30_000)
        expect(view.locator(".wb-log")).to_contain_text("step 99")
        expect(view.locator("img").first).to_be_visible()
        lab.run_cell(page, 2)
        expect(page.get_by_label("in background")).to_be_visible(timeout=30_000)
        page.get_by_label("in background").scroll_into_view_if_needed()
        page.screenshot(path=shots / "background-ended.png")
        page.close()
    stop_hosts(host_folder)
