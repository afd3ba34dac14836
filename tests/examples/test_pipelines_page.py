"""notebooks/pipelines.md: its example runs, and the names that it gives exist."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np

import workbench
from workbench import Node, Pipeline
from workbench.pipelines.pipelines import Pipelines

PAGE = (Path(__file__).parents[2] / "notebooks" / "pipelines.md").read_text(encoding="utf-8")


def test_example_of_the_page(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    image = np.random.default_rng(0).random((8, 8))
    names = {"image": image, "__name__": "example"}
    with workbench.open(tmp_path / "ws"):
        exec(compile(code, "pipelines.md", "exec"), names)
        run = names["run"]
        assert [n.name for n in run.nodes] == ["clean/background", "clean/subtract", "halves", "total"]
        cleaned = np.clip(image - np.quantile(image, 0.1), 0, None)
        np.testing.assert_allclose(run.result()["cleaned"], cleaned)
        assert run.result()["total"]["top"] == cleaned[:4].sum()
        again = names["pipe"].run(image)
        assert all(n.reused for n in again.nodes)


def test_named_options_exist() -> None:
    run = inspect.signature(Pipelines.run).parameters
    assert {"executor", "reuse", "wait", "debug", "parameters"} <= set(run)
    assert {"input_nodes", "output_nodes", "parameters", "deterministic"} <= set(
        inspect.signature(Node).parameters
    )
    assert {"inputs", "outputs", "callbacks"} <= set(inspect.signature(Pipeline).parameters)
