from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from workbench.algorithms.declarations import Findings
from workbench.batch.parameter_cell import read_cell
from workbench.notebook.magics import CELL_NAMES, NAMES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    """Return the code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_example_runs_as_written(tmp_path, monkeypatch):
    pytest.importorskip("scipy")
    shutil.copytree(
        ROOT / "notebooks" / "algorithms" / "denoise", tmp_path / "notebooks" / "algorithms" / "denoise"
    )
    monkeypatch.chdir(tmp_path)
    first, session, *_ = [block for block in blocks("python") if not block.startswith("%")]
    names: dict[str, object] = {}
    exec(first, names)
    exec(session, names)
    assert np.array_equal(names["again"], names["noisy"])
    names["s"].drop()
    assert np.std(names["clean"]) < 0.5 * np.std(names["noisy"])
    assert names["ws"].url.endswith("data/bench")
    names["ws"].close()


def test_the_parameters_cell_declares_what_the_text_says():
    [cell] = [block for block in blocks("python") if "sigma: float" in block]
    findings = Findings()
    sigma, method, limit, names = read_cell(cell, findings).specs
    assert findings.problems == findings.warnings == []
    assert (sigma.unit, sigma.min, sigma.max) == ("px", 0, 10)
    assert method.options == ("mean", "median")
    assert (limit.optional, limit.unit, names.type) == (True, "counts", "any")


def test_table_names_exactly_the_magics_that_exist():
    rows = re.findall(r"^\| (`%.*?`) \|", README, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(%%?\w+)", row)}
    assert named == {f"%{name}" for name in NAMES} | {f"%%{name}" for name in CELL_NAMES}


def test_make_targets_in_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"\bmake (\w+)", "".join(blocks("bash"))))
    assert named >= {"demo", "test"}
    assert named <= targets


def test_linked_files_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
