"""notebooks/versions.md: its example runs, says what the page says, and the names that it gives for a migration exist."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import workbench
from workbench import Pipeline, steps, versions
from workbench.errors import VersionError

PAGE = (Path(__file__).parents[2] / "notebooks" / "versions.md").read_text(encoding="utf-8")


def test_example_of_the_page(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    names = {"x": x, "y": (x[:, 0] > 0).astype(int), "new_x": x[:5], "__name__": "example"}
    with workbench.open(tmp_path / "ws") as ws:
        exec(compile(code, "versions.md", "exec"), names)
        before = versions.version_of(names["Scale"])
        again = code.partition("train = ")[0].replace("VersionedField(2.0,", "VersionedField(3.0,")
        exec(compile(again, "versions.md", "exec"), names)
        after = versions.version_of(names["Scale"])
        note = versions.change_note("scale", before, after, ws.links.outdated("scale", after))
        assert note in PAGE
        exec(
            compile("predict = " + code.partition("predict = ")[2].partition("\ntrain.run")[0], "p", "exec"),
            names,
        )
        with pytest.raises(VersionError) as caught:
            names["predict"].load()
        assert caught.value.nodes == ("reduce",)


def test_named_calls_exist(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        for name in re.findall(r"ws\.links\.(\w+)\(", PAGE):
            assert callable(getattr(ws.links, name)), name
        for name in re.findall(r"ws\.pipelines\.(\w+)\(", PAGE):
            assert callable(getattr(ws.pipelines, name)), name
    for name in re.findall(r"pipe\.(\w+)\(", PAGE):
        assert callable(getattr(Pipeline, name)), name
    for name in re.findall(r"`(\w+(?:Step|Callback))\b", PAGE):
        if name not in ("OpCallBack", "PipelineCallback"):
            assert name in steps.__all__, name
