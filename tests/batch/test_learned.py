"""What notebooks import is learned for those that come after them, and only what a process that forks may import."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_runs import execute, notebook, wait_until

from workbench.batch import learned
from workbench.batch.children import nursery_address
from workbench.settings import Settings


def test_imports_at_the_top_of_code_cells_are_found() -> None:
    cells = [
        new_markdown_cell("import nothing"),
        new_code_cell(
            "%matplotlib inline\nimport a.b, c as d\nfrom e.f import g\nif True:\n    import later"
        ),
        new_code_cell("from . import near\nimport a.b\ndef f():\n    import inside"),
        new_code_cell("this is no Python"),
    ]
    assert learned.imports_of(new_notebook(cells=cells)) == ["a.b", "c", "e.f", "e.f.g"]


def test_only_installed_modules_are_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("beside")
    importlib.import_module("wave")

    cell = new_code_cell("import beside, wave, sys, matplotlib\nimport not_there\nfrom json import dumps")
    for _ in range(2):
        learned.note(tmp_path / "learned", new_notebook(cells=[cell]))
    assert learned.read(tmp_path / "learned") == ["wave", "json"]
    monkeypatch.delitem(sys.modules, "beside")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("x = 1", 0),
        ("import numpy", 0),  # whose native threads end for a fork
        ("import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", 1),
        ("import matplotlib.pyplot", 1),
        ("raise ImportError", 1),
        ("import sys; sys.exit(0)", 1),
        ("import os; os.kill(os.getpid(), 11)", -11),
    ],
)
def test_a_child_tells_what_is_safe(tmp_path: Path, source: str, code: int) -> None:
    (tmp_path / "tried.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-c", "from workbench.batch.learned import probe; probe('tried')"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])},
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == code


def test_a_notebook_finds_what_an_earlier_one_has_imported(nursery: Settings) -> None:
    asks = notebook("import sys", "'xml.dom.pulldom' in sys.modules")
    assert execute(asks).result(1) == "False"
    execute(notebook("import xml.dom.pulldom"))
    path = nursery_address(nursery).socket.with_suffix(".learned")
    wait_until(lambda: "xml.dom.pulldom" in learned.read(path))
    end = time.monotonic() + 30
    while execute(asks).result(1) != "True":
        assert time.monotonic() < end, "it has not been learned"
        time.sleep(0.2)
