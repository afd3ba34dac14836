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
from notebook_runs import execute, notebook, save, wait_until

import workbench
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
    path = learned.path_in(nursery_address(nursery).folder)
    wait_until(lambda: "xml.dom.pulldom" in learned.read(path))
    end = time.monotonic() + 30
    while execute(asks).result(1) != "True":
        assert time.monotonic() < end, "it has not been learned"
        time.sleep(0.2)


@pytest.mark.parametrize("sources", [{}, {"bad": "import os; os.kill(os.getpid(), 11)"}])
def test_what_was_written_down_is_taken_up_but_for_what_crashes(
    tmp_path: Path, sources: dict[str, str]
) -> None:
    names = ["wave", *sources, "xml.dom.pulldom"]
    (tmp_path / "learned").write_text("".join(f"{name}\n" for name in names))
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    code = (
        "import sys; from pathlib import Path; from workbench.batch import learned; learned.is_installed = lambda name: True\n"
        f"learned.take_up(Path('learned')); print(*[n for n in {names} if n in sys.modules])"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=tmp_path,
        text=True,
        capture_output=True,
    )
    assert done.stdout.split() == ["wave", "xml.dom.pulldom"], done.stderr


def test_a_sweep_over_a_notebook_tells_a_host_that_starts_what_to_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_HOST_FOLDER", str(tmp_path / "host"))
    cells = (
        "x = 1",
        "import sys, workbench\nworkbench.record('found', 'xml.dom.pulldom' in sys.modules)\nimport xml.dom.pulldom",
    )
    path = save(notebook(*cells, tags={0: ["parameters"]}), tmp_path / "in.ipynb")
    with workbench.open(tmp_path / "ws", workers=1) as ws:
        client = ws.executor("process").client
        ws.sweeps.run(str(path), {"x": [1]})
        wait_until(lambda: client.status()["forks"])
        # the first worker may have been made ahead, by an interpreter of its own
        assert ws.sweeps.run(str(path), {"x": [1, 2, 3]}, jobs=1, reuse="never").rows()[-1]["found"] is True
        client.stop(force=True)
