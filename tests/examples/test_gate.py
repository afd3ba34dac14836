from __future__ import annotations

from pathlib import Path

import pytest

import workbench

ALGORITHMS = Path(__file__).parents[2] / "notebooks" / "algorithms"
FOLDERS = sorted(manifest.parent for manifest in ALGORITHMS.glob("*/pyproject.toml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_example_passes_the_gate_without_a_warning(folder, tmp_path):
    if folder.name == "texture":
        pytest.importorskip("torch")
    with workbench.open(tmp_path / "bench") as workspace:
        revision = workspace.algorithms.deploy(folder).revision
    assert revision.verdict.ok
    assert revision.verdict.warnings == ()
    assert revision.name == folder.name
    assert all(spec.description for spec in revision.parameters)
    assert ("weights.pt" in revision.assets) == (folder.name == "texture")
