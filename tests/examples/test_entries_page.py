"""notebooks/entries.md: its example runs, and the names that it gives for a migration exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from workbench.library.entries import Entries

PAGE = (Path(__file__).parents[2] / "notebooks" / "entries.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_example_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for name in ("run1.h5", "run2.h5"):
        with h5py.File(name, "w") as file:
            file["inputs"], file["outputs"] = np.ones((4, 2)), np.ones((4, 1))
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 1), torch.zeros(1, 2)), "net.pt")
    names: dict[str, Any] = {}
    [code] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(code, names)
    assert names["best"].metadata == {"val_error": 0.08, "test_error": 0.09, "threshold": 0.5}
    assert names["rows"].shape == (8, 2)
    names["ws"].close()


def test_the_names_of_the_mapping_exist() -> None:
    named = set(re.findall(r"(?:store|ws\.entries)\.(\w+)", PAGE))
    assert {"add", "add_model", "list", "move", "search", "suggest_name", "versions", "view"} <= named
    assert [name for name in named if not hasattr(Entries, name)] == []
