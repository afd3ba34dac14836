"""What entries were made from: named in any way, and there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from workbench.errors import InUseError, InvalidInputError, NotFoundError
from workbench.names import new_id


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as found:
        yield found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    path.write_bytes(b"rows")
    return path


def test_parents_are_named_as_people_name_them(ws: workbench.Workspace, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.h5"
    other.write_bytes(b"others")
    first, second = ws.entries.add("eos", [path, other], check=False)
    dataset = ws.datasets.put({"x": np.zeros(3)})
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.txt").write_text("x")
    ws.bundles.push("insects", tmp_path / "folder")
    bundle = ws.bundles.get("insects")
    cases: list[tuple[Any, tuple[str, ...]]] = [
        ("eos/data@1", (first.id, second.id)),
        (["eos/data@1/b.h5", second], (second.id,)),
        (dataset, (dataset.id,)),
        ([dataset.id, first.id, bundle], (dataset.id, first.id, bundle.record.id)),
        (bundle.record.id, (bundle.record.id,)),
        (iter([first]), (first.id,)),
        (None, ()),
    ]
    for given, ids in cases:
        (made,) = ws.entries.add("gas", path, parents=given, check=False)
        assert made.parents == ids
    (child,) = ws.entries.add("gas", path, parents=[bundle, dataset], check=False)
    assert [row["entry"] for row in child.lineage()][:2] == ["bundle insects@1", "dataset"]
    (child,) = ws.entries.add("gas", path, parents="eos/data@1", check=False)
    assert [row["id"] for row in child.lineage()] == [first.id, second.id, child.id]
    with pytest.raises(InUseError):
        ws.entries.purge(first)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (["nonsense"], NotFoundError, "parents names 'nonsense'"),
        (["eos/data@99"], NotFoundError, "There is no entry 'eos/data@99'. eos/data has the versions 1"),
        ([new_id()], NotFoundError, "nothing has this id"),
        ([None], InvalidInputError, "A parent is NoneType None"),
        (5, InvalidInputError, "parents is 5"),
    ],
)
def test_parents_that_are_not_there_are_refused(
    ws: workbench.Workspace, path: Path, given: Any, error: type[Exception], text: str
) -> None:
    ws.entries.add("eos", path, check=False)
    with pytest.raises(error) as caught:
        ws.entries.add("eos", path, parents=given, check=False)
    assert text in str(caught.value)
    assert len(ws.entries.list()) == 1
