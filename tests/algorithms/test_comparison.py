"""Two versions of an algorithm side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from algorithm_folders import GAIN, INVERT, write_algorithm

import workbench
from workbench.algorithms.comparison import Comparison
from workbench.algorithms.diff_html import MOST_ROWS, FileChange, side_by_side
from workbench.errors import NotFoundError

FILTERS = "SIZE = 3\n\n\ndef smooth(x):\n    return x\n"
OFFSET = """
[[tool.workbench.additional_parameters]]
name = "offset"
description = "Added in the end"
config = { type = "float", default = 0.0, adjustable = true }
"""


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as found:
        yield found


def deploy(ws: workbench.Workspace, folder: Path, **what: Any) -> Any:
    files = {"filters.py": FILTERS, "table.bin": b"1", **what.pop("files", {})}
    return ws.algorithms.deploy(write_algorithm(folder, files=files, **what), check=False)


def told(found: Comparison) -> dict[tuple[str, str], tuple[Any, Any]]:
    return {(side.part, side.name): (side.a, side.b) for side in found.differences}


def test_parameters_assets_declarations_and_code_are_compared(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "invert"
    old = deploy(ws, folder, extra=GAIN)
    (folder / "filters.py").unlink()
    extra = GAIN.replace("default = 1.0", "default = 2.0").replace("max = 10.0", "max = 20.0") + OFFSET
    new = deploy(
        ws,
        folder,
        version="1.1",
        type="Generic",
        extra=extra,
        files={
            "filters.py": FILTERS.replace("SIZE = 3", "SIZE = 5"),
            "table.bin": b"2",
            "new.bin": b"3",
            "more.py": "x = 1\n",
        },
    )
    found = ws.algorithms.compare("invert@1.0", "invert@1.1")
    differ = told(found)
    assert differ["declared", "type"] == ("Image2Image", "Generic")
    assert differ["parameter", "gain"] == ("default=1.0, max=10.0", "default=2.0, max=20.0")
    assert differ["parameter", "offset"][0] == "not there"
    assert differ["parameter", "offset"][1].startswith("type='float', default=0.0")
    assert differ["asset", "table.bin"] == (
        old.revision.assets["table.bin"][:12],
        new.revision.assets["table.bin"][:12],
    )
    assert differ["asset", "new.bin"][0] == "not there"
    assert differ["code", "filters.py"] == ("", "constant SIZE 3 -> 5")
    assert differ["code", "more.py"] == ("", "added")
    assert [change.path for change in found.files] == ["filters.py", "more.py"]
    assert "--- invert@1.0 filters.py" in found.code
    assert "+SIZE = 5" in repr(found)
    html = found._repr_html_()
    assert "SIZE = 5" in html
    assert "more.py</code> (new)" in html
    assert ("declared", "description") not in differ
    row = next(row for row in found.rows() if row["name"] == "gain")
    assert set(row) == {"part", "name", "invert@1.0", "invert@1.1"}


def test_a_revision_is_compared_with_the_one_before(ws: workbench.Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "invert"
    first = deploy(ws, folder)
    with pytest.raises(NotFoundError, match=r"There is nothing before invert@1\.0"):
        ws.algorithms.compare("invert")
    second = deploy(ws, folder, code=f"{INVERT}\n    # a comment\n")
    found = ws.algorithms.compare("invert")
    assert (found.a, found.b) == (f"invert@1.0 ({first.id})", f"invert@1.0 ({second.id})")
    assert told(found) == {
        ("revision", ""): (first.id, second.id),
        ("code", "comments and formatting"): ("", "differ"),
    }
    deploy(ws, folder, version="2.0")
    found = ws.algorithms.compare("invert")
    assert (found.a, found.b) == ("invert@1.0", "invert@2.0")
    assert ws.algorithms.compare(second.id).a == f"invert@1.0 ({first.id})"
    same = ws.algorithms.compare(first, first.id)
    assert (same.differences, same.code) == ([], "")
    assert "0 differences" in repr(same)
    with pytest.raises(NotFoundError):
        ws.algorithms.compare("invert", "invret")


def test_two_algorithms_can_be_compared_and_lost_code_is_said(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    invert = deploy(ws, tmp_path / "invert")
    other = ws.algorithms.deploy(
        write_algorithm(
            tmp_path / "other", "other", code=INVERT.replace("class Runner", "X = 1\n\n    class Runner")
        ),
        check=False,
    )
    found = ws.algorithms.compare("invert", other)
    assert [(c.path, c.after is None) for c in found.files] == [("Runner.py", False), ("filters.py", True)]
    assert "filters.py</code> (gone)" in found._repr_html_()
    ws.store.delete("packages", [f"{invert.revision.package}.zip"])
    found = ws.algorithms.compare("invert", "other")
    assert "The code cannot be compared" in repr(found)
    assert "The code cannot be compared" in found._repr_html_()


def test_code_side_by_side_shows_changes_with_their_lines() -> None:
    before = "\n".join(f"line {i}" for i in range(40))
    after = before.replace("line 5", "line five").replace("line 30\n", "") + "\n<script>alert(1)</script>"
    html = side_by_side([FileChange("a.py", before, after)], "old", "new")
    assert "<script>" not in html
    assert (
        '<td class="n">6</td><td class="x">line 5</td><td class="n">6</td><td class="y">line five</td>'
        in html
    )
    assert '<td class="x">line 30</td><td class="n"></td><td class="z"></td>' in html
    assert "line 15" not in html
    assert html.count("…") == 2
    assert side_by_side([], "old", "new") == ""
    long = side_by_side([FileChange("b.py", None, "x\n" * (MOST_ROWS + 10))], "old", "new")
    assert "more follows" in long
