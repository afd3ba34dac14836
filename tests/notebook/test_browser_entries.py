"""The views of entries in real JupyterLab: a model is added, found in the table, and data are promoted and taken back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lab_browser import Lab, chromium, running_lab, write_notebook

import workbench

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed (apt-get install chromium)"),
    pytest.mark.timeout(600),
]
PATIENCE_MS = 120_000  # a loaded machine; all waits end as soon as they can
CELLS = [
    "%load_ext workbench\n%workbench ws",
    "%modelform eos",
    "%entrypromote eos/candidates@1 --kind data",
    "%entries eos --browse -n 5",
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Give JupyterLab on a workspace with models and candidates."""
    root, private = tmp_path / "root", tmp_path / "private"
    root.mkdir()
    private.mkdir()
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    for name in ("net.safetensors", "wide.safetensors"):
        content = np.float32(len(name)).tobytes()
        (root / name).write_bytes(len(header).to_bytes(8, "little") + header + content)
    with h5py.File(root / "staged.h5", "w") as file:
        file["inputs"] = np.ones((4, 2))
    with workbench.open(root / "ws") as ws:
        for i in range(8):
            facts = {"val_error": 0.02 + i * 0.011, "test_error": 0.05 + i * 0.01}
            more: dict[str, Any] = {"layers": 2 + i % 3, "family": ("relu", "tanh")[i % 2]}
            more |= {f"a_rather_long_key_{k}": k for k in range(8)}  # wider than a cell
            ws.entries.add_model("eos", root / "wide.safetensors", metadata=more, **facts)
        ws.entries.add("eos", root / "staged.h5", "candidates", metadata={"temperature": 300, "rows": 4})
    write_notebook(root / "entries.ipynb", CELLS)
    with running_lab(root, private) as found:
        yield found


def _field(form: Any, name: str) -> Any:
    """Return the boxes of a field: they follow its label in the grid."""
    return form.locator(
        f"xpath=.//*[contains(@class, 'wb-label')][.//span[text()='{name}']]/following-sibling::*[1]"
    )


def _button(form: Any, text: str) -> Any:
    return form.locator("button:visible").filter(has_text=re.compile(rf"^\W*{text}\b"))


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_entries_in_the_browser(lab: Lab, theme: str) -> None:
    expect = playwright.expect
    expect.set_options(timeout=PATIENCE_MS)
    lab.set_theme(theme)
    page = lab.open("entries.ipynb", width=1300, height=1900)
    for number in range(len(CELLS)):
        lab.run_cell(page, number)
    forms = page.locator(".jp-NotebookPanel .wb-form")
    expect(forms).to_have_count(3)
    model, promotion, table = forms.nth(0), forms.nth(1), forms.nth(2)

    add = _button(model, "Add model")
    expect(add).to_be_disabled()
    expect(model).to_contain_text("file: needs a value")
    _field(model, "file").locator("input").fill("net.safetensor")
    expect(model).to_contain_text("Did you mean 'net.safetensors'")
    _shot(page, f"wrong-{theme}")
    _field(model, "file").locator("input").fill("net.safetensors")
    _field(model, "val_error").locator("input[type=checkbox]").check()
    _field(model, "val_error").locator("input[type=text]").fill("0.015")
    _field(model, "metadata").locator("textarea").fill("layers=5\nfamily=gelu")
    expect(model).to_contain_text("It becomes eos/models version 9")
    add.click()
    expect(model).to_contain_text("Added eos/models@9/net.safetensors")
    expect(model.locator(".wb-table tbody tr").first).to_contain_text("net.safetensors (added)")

    expect(promotion).to_contain_text("eos/candidates@1")
    _button(promotion, "Promote").click()
    expect(promotion).to_contain_text("Promoted: 1 entry")
    _shot(page, f"promoted-{theme}")
    _button(promotion, "Undo").click()
    expect(promotion).to_contain_text("Moved back: 1 entry")

    where = table.locator("input[type=text]").first
    where.fill("val_error < 0.05 and family == 'relu'")
    where.press("Enter")
    expect(table).to_contain_text("1 to 2")
    where.fill("val_error <")
    where.press("Enter")
    expect(table).to_contain_text("is not understood")
    where.fill("")
    where.press("Enter")
    expect(table).to_contain_text("1 to 5, more follow")
    expect(table).to_contain_text("eos/models@8/wide.safetensors")  # to be copied
    content = table.locator(".wb-rows > .widget-html-content")
    reach = content.evaluate("e => [e.scrollWidth, e.clientWidth, e.getBoundingClientRect().right]")
    assert reach[0] > reach[1], "the table has no scroll bar"
    assert reach[2] <= table.evaluate("e => e.getBoundingClientRect().right")
    _shot(page, f"table-{theme}")
    for form in (model, promotion, table):
        assert form.evaluate("e => e.scrollWidth <= e.clientWidth + 1"), "a view is wider than its cell"


def _shot(page: Any, name: str) -> None:
    """Take a picture where anyone wants one."""
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{name.replace(' ', '-')}.png")
