"""A real JupyterLab on a folder of notebooks, and Chromium to look at it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import workbench

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOKEN = "test-token"


def chromium() -> str | None:
    """Return the path of Chromium: ``$CHROMIUM``, else one on the search path; None when there is none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """Write a notebook of code cells."""
    made = [
        {
            "cell_type": "code",
            "id": f"c{i}",
            "metadata": {},
            "source": text,
            "outputs": [],
            "execution_count": None,
        }
        for i, text in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook))


class Lab:
    """A running JupyterLab and a browser; ``open`` gives a page on a notebook whose kernel is idle."""

    def __init__(self, browser: Any, url: str, settings: Path) -> None:
        self.browser, self.url, self.settings = browser, url, settings

    def set_theme(self, name: str) -> None:
        """Choose ``JupyterLab Light`` or ``JupyterLab Dark`` for pages opened from now on."""
        folder = self.settings / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "themes.jupyterlab-settings").write_text(json.dumps({"theme": name}))

    def open(self, notebook: str, width: int = 1200, height: int = 900, scale: float = 1) -> Any:
        """Open a notebook and wait until its kernel is idle."""
        from playwright.sync_api import expect

        page = self.browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
        workspace = f"{notebook.removesuffix('.ipynb')}-{time.monotonic_ns()}"
        page.goto(f"{self.url}/lab/workspaces/{workspace}/tree/{notebook}?reset&token={TOKEN}")
        expect(page.locator(".jp-NotebookPanel")).to_be_visible(timeout=90_000)
        # the notebook's own indicator says idle before the kernel's websocket is up
        expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=90_000)
        return page

    def run_cell(self, page: Any, number: int = 0) -> None:
        """Run one cell."""
        page.locator(".jp-NotebookPanel .jp-CodeCell .jp-InputArea-editor").nth(number).click()
        page.keyboard.press("Shift+Enter")


@contextmanager
def running_lab(root: Path, private: Path) -> Iterator[Lab]:
    """Run JupyterLab on ``root`` with settings of its own in ``private``, and a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = private / "settings"
    (settings / "@jupyterlab" / "apputils-extension").mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
    (settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings").write_text(
        json.dumps(quiet)
    )
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(private / "config"),
        "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(private / "workspaces"),
        "IPYTHONDIR": str(private / "ipython"),
        "PYTHONPATH": os.pathsep.join(
            [str(Path(workbench.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        ),
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
               f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={root}", "--ServerApp.log_level=ERROR"]  # fmt: skip
    with (private / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/api/status?token={TOKEN}", server, private / "server.log")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), headless=True, args=ARGUMENTS)
            yield Lab(browser, url, settings)
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"JupyterLab ended with code {server.returncode}:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"JupyterLab did not answer in a minute:\n{log.read_text()[-2000:]}")
